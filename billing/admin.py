from typing import cast

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from accounts.models import User  # noqa: TC001 -- named in cast
from billing import campaign_admin, credit_admin, purchases_admin  # noqa: F401 -- register their pages
from billing.admin_tables import ReadOnlyAdmin
from billing.books import dead_letters
from billing.models import Account, BalanceChange, SettlementDeadLetter, Transfer, UsageBatch
from billing.money import usd_text


@admin.register(Account)
class AccountAdmin(ReadOnlyAdmin):
    list_display = ("__str__", "code", "org", "shard", "provider", "balance", "seq")
    list_filter = ("code",)
    search_fields = ("org__name", "org__public_id", "provider")
    list_select_related = ("org",)

    @admin.display(description="Balance, USD")
    def balance(self, account: Account) -> str:
        return usd_text(account.balance_nanos)


@admin.register(Transfer)
class TransferAdmin(ReadOnlyAdmin):
    list_display = ("created_at", "code", "debit_account", "credit_account", "amount", "ref_kind", "ref_id", "actor", "memo")
    list_filter = ("code",)
    search_fields = ("=ref_id", "=group_id", "=org_id")
    list_select_related = ("debit_account", "credit_account")
    ordering = ("-created_at",)

    @admin.display(description="Amount, USD")
    def amount(self, transfer: Transfer) -> str:
        return usd_text(transfer.amount_nanos)


@admin.register(UsageBatch)
class UsageBatchAdmin(ReadOnlyAdmin):
    list_display = ("id", "created_at", "shard", "events", "duplicates", "amount", "cost")
    list_filter = ("shard",)
    ordering = ("-id",)

    @admin.display(description="Charged, USD")
    def amount(self, batch: UsageBatch) -> str:
        return usd_text(batch.amount_nanos)

    @admin.display(description="Cost, USD")
    def cost(self, batch: UsageBatch) -> str:
        return usd_text(batch.cost_nanos)


@admin.register(BalanceChange)
class BalanceChangeAdmin(ReadOnlyAdmin):
    list_display = ("org", "seq", "amount", "created_at", "published_at")
    list_select_related = ("org",)
    ordering = ("-id",)

    @admin.display(description="Amount, USD")
    def amount(self, change: BalanceChange) -> str:
        return usd_text(change.amount_nanos)


@admin.register(SettlementDeadLetter)
class SettlementDeadLetterAdmin(ReadOnlyAdmin):
    list_display = ("created_at", "shard", "src", "reason", "resolved_at", "resolved_by")
    list_filter = ("shard",)
    ordering = ("-id",)
    actions = ("mark_resolved",)

    @admin.action(description="Mark as dealt with")
    def mark_resolved(self, request: HttpRequest, letters: QuerySet[SettlementDeadLetter]) -> None:
        count = dead_letters.resolve(letters=letters, by=cast("User", request.user))
        self.message_user(request, f"{count} marked as dealt with.")
