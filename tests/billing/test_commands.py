import datetime as dt
import io

import pytest
import time_machine
from django.core.management import CommandError, call_command
from django.db import connection
from django.urls import reverse

from billing import live, queries, tasks
from billing.models import Account, CreditLot, SettlementDeadLetter, UsageEvent
from billing.proof import checks
from gateway.celery import app
from tests.billing import plane
from tests.billing.conftest import USD


def _run(*args: str) -> str:
    out = io.StringIO()
    call_command(*args, stdout=out)
    return out.getvalue()


def test_grant_credit_grants_once_per_key(make_organization):
    organization = make_organization()
    words = ("grant_credit", organization.public_id, "2.50", "--reason", "Welcome", "--key", "w")

    assert _run(*words) == f"$2.5 granted to {organization.public_id} (w)\n"
    assert _run(*words) == f"$2.5 was granted before to {organization.public_id} (w)\n"

    assert queries.balance(organization).remaining_nanos == 2_500_000_000


def test_grant_credit_expires_after_its_days_and_a_campaign_grants_once(make_organization, settings):
    organization = make_organization()
    words = ("grant_credit", organization.public_id, "3", "--reason", "Spring", "--campaign", "spring")
    with time_machine.travel(dt.datetime(2027, 3, 1, tzinfo=dt.UTC), tick=False):
        _run(*words, "--days", "30")
        assert "was granted before" in _run(*words, "--days", "60")
        _run("grant_credit", organization.public_id, "1", "--reason", "r", "--key", "k")
        _run("grant_credit", organization.public_id, "1", "--reason", "r", "--key", "k0", "--days", "0")

    assert sorted(CreditLot.objects.values_list("campaign", "expires_at"), key=str) == [
        ("", None), ("", dt.datetime(2028, 2, 29, tzinfo=dt.UTC)), ("spring", dt.datetime(2027, 3, 31, tzinfo=dt.UTC)),
    ]  # fmt: skip
    for wrong in (("--days", "-1", "--key", "x"), ()):
        with pytest.raises(CommandError):
            _run("grant_credit", organization.public_id, "1", "--reason", "r", *wrong)


def test_grant_credit_says_what_is_wrong(make_organization):
    organization = make_organization()
    _run("grant_credit", organization.public_id, "1", "--reason", "r", "--key", "k", "--plain")

    for usd, public_id, word in (
        ("1.5", "org_nobody", "no organization"),
        ("-1", organization.public_id, "whole number"),
        ("2", organization.public_id, "before"),
    ):
        with pytest.raises(CommandError, match=word):
            _run("grant_credit", public_id, usd, "--reason", "r", "--key", "k", "--plain")

    assert queries.balance(organization).remaining_nanos == USD


def test_rebuild_balances_rebuilds_one_shard_and_says_so(make_organization, money_store):
    organization = make_organization(USD)
    plane.spend(organization, 4)

    assert _run("rebuild_balances", "--shard", "7").endswith(", 1 events booked on the way\n")

    assert live.read_balance(org_id=organization.pk, shard=7) == (USD - 4, 0, 0, 1)


def test_the_jobs_settle_publish_reap_and_verify(make_organization, settings):
    settings.LEDGER_SHARDS = 8
    organization = make_organization(USD)
    plane.spend(organization, 4)
    plane.reserve(organization, plane.new_id(), 10, ttl_ms=1)

    while tasks.reap_expired_holds() == 0:
        pass
    assert tasks.settle_due() == 2
    assert tasks.settle_shard(7) == 0
    assert tasks.publish_pending() == 0
    assert len(tasks.make_partitions()) <= 9
    assert tasks.verify_books() == 0

    assert sorted(UsageEvent.objects.values_list("status", "amount_nanos")) == [("expired", 0), ("ok", 4)]


def test_a_difference_found_by_the_job_is_logged_as_an_error(make_organization, settings, monkeypatch, caplog):
    settings.LEDGER_SHARDS = 8
    monkeypatch.setattr(checks, "present_slice", lambda: [7])
    organization = make_organization(USD)
    live.store.store().hincrby(f"{plane.shard_keys(7).balance}{organization.pk}", "avail", -3)

    assert tasks.verify_books() == 1

    assert "books do not balance: I5" in caplog.text


def test_the_nightly_job_finds_what_the_job_of_every_five_minutes_leaves_to_it(make_organization, settings, caplog):
    settings.LEDGER_SHARDS = 8
    make_organization(USD)
    assert tasks.verify_all_books() == 0
    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
        cursor.execute("UPDATE billing_transfer SET amount_nanos = amount_nanos - 1")
        cursor.execute("SET session_replication_role = DEFAULT")

    assert (tasks.verify_books(), tasks.verify_all_books()) == (0, 2)

    assert "books do not balance: I2" in caplog.text


def test_every_periodic_job_is_one_that_workers_know():
    app.loader.import_default_modules()

    assert {entry["task"] for entry in app.conf.beat_schedule.values()} <= set(app.tasks)


@pytest.mark.parametrize("name", ["account", "transfer", "usagebatch", "balancechange", "settlementdeadletter"])
def test_the_operator_reads_the_books_and_cannot_write_them(make_organization, client, settings, name):
    settings.LEDGER_SHARDS = 8
    organization = make_organization(USD)
    plane.spend(organization, 4)
    tasks.settle_shard(7)
    operator = organization.memberships.get().user
    operator.is_staff = operator.is_superuser = True
    operator.save()
    client.force_login(operator)

    assert client.get(reverse(f"admin:billing_{name}_changelist")).status_code == 200
    assert client.get(reverse(f"admin:billing_{name}_add")).status_code == 403
    if name == "settlementdeadletter":
        letter = SettlementDeadLetter.objects.create(shard=7, src="1:1-0", event=b"{", reason="not JSON")
        assert tasks.verify_books() == 1
        client.post(reverse(f"admin:billing_{name}_changelist"), {"action": "mark_resolved", "_selected_action": [letter.pk]})
        letter.refresh_from_db()
        assert letter.resolved_by == operator.email
        assert tasks.verify_books() == 0
    if name == "account":
        page = client.get(reverse("admin:billing_account_change", args=[Account.objects.first().pk]))
        assert page.status_code == 200
        assert 'name="_save"' not in page.content.decode()
