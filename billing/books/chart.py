"""The chart of accounts: every account code, the side on which it grows, and what one row stands for. Also the codes of transfers."""

import enum
from typing import Literal, NamedTuple

Side = Literal["debit", "credit"]


class AccountCode(enum.IntEnum):
    """What an account is. 1xxx assets, 2xxx liabilities, 4xxx income, 5xxx expenses, 9xxx suspense."""

    STRIPE_CLEARING = 1010
    STRIPE_DISPUTED = 1020
    BANK = 1030
    CUSTOMER_CREDIT = 2010
    CUSTOMER_PROMO = 2020
    PROVIDER_PAYABLE = 2030
    TAX_PAYABLE = 2040
    CUSTOMER_DEBT = 2050
    REVENUE_USAGE = 4010
    REVENUE_PURCHASE_FEE = 4020
    BREAKAGE = 4040
    PROVIDER_COST = 5010
    STRIPE_FEES = 5020
    DISPUTE_FEES = 5021
    PROMO_EXPENSE = 5030
    GOODWILL = 5040
    SUSPENSE = 9010


class TransferCode(enum.IntEnum):
    """Why money moved."""

    GRANT = 1  # credit given away
    PURCHASE = 2  # credit bought, with our fee and tax
    REFUND = 3  # credit taken back, its money sent to the card
    DISPUTE = 4  # money that a cardholder's bank took, or gave back
    STRIPE_FEE = 5  # what Stripe keeps of a payment
    EXPIRY = 6  # granted credit whose time is over
    COVER = 7  # granted credit at its end, paying for usage that went beyond all credit
    PAYOUT = 8  # money on its way from Stripe to the bank
    SUSPENSE = 9  # a movement at Stripe that nobody has explained yet
    USAGE = 10  # the charge of a usage batch
    USAGE_RETURN = 11  # the part of a batch that lowers earlier charges (late settlements below the reaper's estimate)
    PROVIDER_COST = 12  # what providers charge us for a usage batch
    PROVIDER_COST_RETURN = 13
    CORRECTION = 90  # the reverse of an earlier group, which it names


USAGE_CODES = (TransferCode.USAGE, TransferCode.USAGE_RETURN)


class AccountKind(NamedTuple):
    """One line of the chart. ``per`` says what one row stands for."""

    title: str
    side: Side
    per: str


CHART: dict[AccountCode, AccountKind] = {
    AccountCode.STRIPE_CLEARING: AccountKind("Stripe clearing", "debit", "service"),
    AccountCode.STRIPE_DISPUTED: AccountKind("Stripe disputed", "debit", "service"),
    AccountCode.BANK: AccountKind("bank", "debit", "service"),
    AccountCode.CUSTOMER_CREDIT: AccountKind("customer credit", "credit", "organization"),
    AccountCode.CUSTOMER_PROMO: AccountKind("customer promo credit", "credit", "organization"),
    AccountCode.PROVIDER_PAYABLE: AccountKind("provider payable", "credit", "provider and shard"),
    AccountCode.TAX_PAYABLE: AccountKind("tax payable", "credit", "service"),
    AccountCode.CUSTOMER_DEBT: AccountKind("customer debt", "debit", "organization"),
    AccountCode.REVENUE_USAGE: AccountKind("revenue from usage", "credit", "shard"),
    AccountCode.REVENUE_PURCHASE_FEE: AccountKind("revenue from purchase fees", "credit", "service"),
    AccountCode.BREAKAGE: AccountKind("breakage", "credit", "service"),
    AccountCode.PROVIDER_COST: AccountKind("provider cost", "debit", "provider and shard"),
    AccountCode.STRIPE_FEES: AccountKind("Stripe fees", "debit", "service"),
    AccountCode.DISPUTE_FEES: AccountKind("dispute fees", "debit", "service"),
    AccountCode.PROMO_EXPENSE: AccountKind("promo expense", "debit", "service"),
    AccountCode.GOODWILL: AccountKind("goodwill", "debit", "service"),
    AccountCode.SUSPENSE: AccountKind("suspense", "debit", "service"),
}

# What a customer has. Promo credit is used first; the outbox sequence is kept on CUSTOMER_CREDIT.
CUSTOMER_CODES = (AccountCode.CUSTOMER_PROMO, AccountCode.CUSTOMER_CREDIT)
# Every account of an organization. Its balance is the sum of these: what it has less what it owes after a dispute or a refund.
ORGANIZATION_CODES = (*CUSTOMER_CODES, AccountCode.CUSTOMER_DEBT)


class AccountKey(NamedTuple):
    """Names an account by what it is. ``shard`` is 0 and ``provider`` '' where the chart says that the account has none."""

    code: AccountCode
    org_id: int | None = None
    shard: int = 0
    provider: str = ""
