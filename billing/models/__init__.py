"""Tables of the books."""

from billing.models.archive import UsageArchive, UsageArchiveBatch, UsageArchiveSum
from billing.models.campaigns import Campaign, CodeMiss, CodeRedemption
from billing.models.credits import CreditLot, SignupCredit, SignupCreditState
from billing.models.ledger import Account, Transfer
from billing.models.outbox import BalanceChange, SettlementDeadLetter
from billing.models.proof import AdmissionFreeze, Incident, InvariantRun
from billing.models.purchases import Dispute, LowBalance, Notice, PaymentProfile, Purchase, PurchaseKind, PurchaseState, Refund, StripeEvent
from billing.models.reconciliation import Reconciliation, ReconciliationLine, SuspenseItem
from billing.models.signing import SigningKey
from billing.models.usage import UsageBatch, UsageEvent, UsageRollup

__all__ = [
    "Account",
    "AdmissionFreeze",
    "BalanceChange",
    "Campaign",
    "CodeMiss",
    "CodeRedemption",
    "CreditLot",
    "Dispute",
    "Incident",
    "InvariantRun",
    "LowBalance",
    "Notice",
    "PaymentProfile",
    "Purchase",
    "PurchaseKind",
    "PurchaseState",
    "Reconciliation",
    "ReconciliationLine",
    "Refund",
    "SettlementDeadLetter",
    "SigningKey",
    "SignupCredit",
    "SignupCreditState",
    "StripeEvent",
    "SuspenseItem",
    "Transfer",
    "UsageArchive",
    "UsageArchiveBatch",
    "UsageArchiveSum",
    "UsageBatch",
    "UsageEvent",
    "UsageRollup",
]
