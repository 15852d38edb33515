"""Books that balance, and a hand that tampers with them behind their back."""

from collections.abc import Callable

import pytest
from django.db import connection

from accounts import api_keys
from accounts.models import Organization
from billing.books import settlement
from billing.proof import checks, watch
from tests.billing import plane
from tests.billing.conftest import USD

SHARD = 7


@pytest.fixture(autouse=True)
def _one_look(monkeypatch: pytest.MonkeyPatch, settings: object) -> None:
    """Confirm a difference at once, and let it be every shard's turn."""
    settings.LEDGER_SHARDS = 8
    settings.OPERATOR_EMAILS = ["operator@example.com"]
    monkeypatch.setattr(watch, "_CONFIRM_AFTER_S", 0)
    monkeypatch.setattr(checks, "present_slice", lambda: list(range(8)))


@pytest.fixture
def used(make_organization: Callable[..., Organization]) -> Organization:
    """Return an organization whose key has spent 507 nanos of a dollar, everything booked."""
    organization = make_organization(USD)
    key, _ = api_keys.create(organization=organization, name="k", by=organization.memberships.get().user)
    plane.put_key(SHARD, key.pk)
    plane.spend(organization, 500, key_id=key.pk)
    plane.spend(organization, 7, key_id=key.pk)
    settlement.settle_shard(shard=SHARD)
    organization.key_id = key.pk
    return organization


@pytest.fixture
def tamper() -> Callable[..., None]:
    """Return a way around every trigger."""

    def change(statement: str, *values: object) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SET session_replication_role = replica")
            cursor.execute(statement, values)
            cursor.execute("SET session_replication_role = DEFAULT")

    return change
