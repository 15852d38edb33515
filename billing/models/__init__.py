"""Tables of the books."""

from billing.models.ledger import Account, Transfer
from billing.models.outbox import BalanceChange, SettlementDeadLetter
from billing.models.usage import UsageBatch, UsageEvent, UsageRollup

__all__ = ["Account", "BalanceChange", "SettlementDeadLetter", "Transfer", "UsageBatch", "UsageEvent", "UsageRollup"]
