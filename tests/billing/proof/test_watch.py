"""What a broken invariant sets going: a frozen organization that hears why, one mail, and an end when it is right again."""

import pytest
from django.core import mail
from django.urls import reverse

from accounts.permissions import NotPermitted
from billing import live, tasks
from billing.authorizer.keys import shard_keys
from billing.books import rebuild
from billing.books.difference import Difference
from billing.models import AdmissionFreeze, Incident, InvariantRun
from billing.proof import checks, freezes, incidents, metrics, watch
from tests.billing import plane
from tests.billing.proof.conftest import SHARD


def _shift(client, organization, nanos):
    client.hincrby(f"{shard_keys(SHARD).balance}{organization.pk}", "avail", nanos)


def test_a_frozen_organization_starts_nothing_and_what_runs_goes_on(used, money_store_client):
    running = plane.make_event(used, 40, key_id=used.key_id)
    assert plane.reserve(used, running.event_id, 40, key_id=used.key_id) == "OK"
    _shift(money_store_client, used, 1)
    watch.check("I5")

    assert plane.reserve(used, plane.new_id(), 1, key_id=used.key_id) == "FROZEN"
    assert plane.reserve(used, running.event_id, 40, key_id=used.key_id) == "HELD"
    assert plane.reserve(used, plane.new_id(), 1, key_id=used.key_id, is_running=True) == "OK"
    assert plane.settle(running) == "OK"


def test_others_on_the_same_shard_are_not_frozen(used, make_organization, money_store_client):
    other = make_organization(1000)
    _shift(money_store_client, used, 1)
    watch.check("I5")

    assert plane.reserve(other, plane.new_id(), 1) == "OK"


def test_a_freeze_survives_a_rebuild_and_an_operator_lifts_it(used, operator, money_store_client):
    freezes.freeze(org_ids=[used.pk], reason="test")
    rebuild.rebuild_shard(shard=SHARD)
    plane.put_key(SHARD)

    assert plane.reserve(used, plane.new_id(), 1) == "FROZEN"

    assert freezes.lift(organization=used, by=operator)
    assert plane.reserve(used, plane.new_id(), 1) == "OK"
    assert not freezes.lift(organization=used, by=operator)
    assert AdmissionFreeze.objects.get().lifted_by == operator.email


def test_only_an_operator_lifts_a_freeze(used, stranger):
    freezes.freeze(org_ids=[used.pk], reason="test")

    for person in (stranger, used.memberships.get().user):
        with pytest.raises(NotPermitted):
            freezes.lift(organization=used, by=person)


def test_a_freeze_that_the_money_store_could_not_hear_of_is_brought_by_the_sweep(used, monkeypatch):
    def closed(**_):
        raise live.EpochClosed

    with monkeypatch.context() as patched:
        patched.setattr(live, "put_frozen", closed)
        freezes.freeze(org_ids=[used.pk], reason="test")
    assert plane.reserve(used, plane.new_id(), 1) == "OK"

    tasks.publish_pending()

    assert plane.reserve(used, plane.new_id(), 1) == "FROZEN"


def test_the_operators_get_one_mail_however_often_the_difference_is_seen(used, money_store_client):
    _shift(money_store_client, used, 1)
    for _ in range(3):
        watch.check("I5")

    [message] = mail.outbox
    assert message.to == ["operator@example.com"]
    assert "I5" in message.subject
    assert f"organization {used.pk} on shard 7, money store against books: expected 999,999,493 n$, found 999,999,494 n$" in message.body
    assert Incident.objects.count() == 1


def test_without_named_operators_every_superuser_is_told(used, operator, settings):
    settings.OPERATOR_EMAILS = []

    assert incidents.operators() == [operator.email]


def test_a_mail_server_that_refuses_is_asked_again(used, money_store_client, monkeypatch):
    def refuse(*_args, **_kwargs):
        raise OSError("no route")

    _shift(money_store_client, used, 1)
    with monkeypatch.context() as patched:
        patched.setattr("django.core.mail.message.EmailMessage.send", refuse)
        watch.check("I5")
    assert mail.outbox == []

    watch.check("I1")

    assert len(mail.outbox) == 1


def test_an_incident_ends_when_the_figures_agree_again_and_the_freeze_waits_for_the_operator(used, money_store_client):
    _shift(money_store_client, used, 1)
    watch.check("I5")
    _shift(money_store_client, used, -1)
    watch.check("I5")

    assert Incident.objects.get().closed_at is not None
    assert plane.reserve(used, plane.new_id(), 1, key_id=used.key_id) == "FROZEN"


def test_a_slice_closes_only_the_incidents_of_its_own_shards(used, money_store_client, monkeypatch):
    _shift(money_store_client, used, 1)
    watch.check("I5")
    monkeypatch.setattr(checks, "present_slice", lambda: [1, 2])

    watch.check("I5")

    assert Incident.objects.get().closed_at is None


def test_what_only_the_whole_check_sees_is_not_closed_by_the_quick_one(used, tamper):
    tamper("UPDATE billing_transfer SET amount_nanos = amount_nanos - 1 WHERE code = 1")
    watch.check("I2", is_whole=True)

    assert watch.check("I2") == []

    assert Incident.objects.filter(closed_at=None).count() == 2


def test_a_difference_that_a_second_look_does_not_find_counts_for_nothing(used, money_store_client, monkeypatch):
    _shift(money_store_client, used, 1)
    monkeypatch.setattr(watch.time, "sleep", lambda _s: _shift(money_store_client, used, -1))

    assert watch.check("I5") == []
    assert AdmissionFreeze.objects.count() == Incident.objects.count() == 0


def test_runs_that_found_nothing_are_forgotten_after_a_week(used):
    watch.check("I1")
    InvariantRun.objects.update(checked_at="2020-01-01T00:00Z")

    assert incidents.forget_old_runs() == 1


# --- the operator's page and metrics ---


def test_the_page_shows_zeros_and_then_the_difference_with_a_way_to_lift_the_freeze(used, operator, client, money_store_client):
    client.force_login(operator)
    watch.check_all()
    assert "Nothing is off" in client.get(reverse("operator_books")).content.decode()

    _shift(money_store_client, used, 1)
    watch.check("I5")
    page = client.get(reverse("operator_books")).content.decode()
    assert "1 open" in page
    assert "999,999,494 n$" in page

    client.post(reverse("lift_freeze", args=[used.public_id]))
    assert plane.reserve(used, plane.new_id(), 1, key_id=used.key_id) == "OK"


@pytest.mark.parametrize("name", ["operator_books", "metrics"])
def test_nobody_but_operators_sees_the_state_of_the_books(used, client, name):
    anonymous = client.get(reverse(name))
    client.force_login(used.memberships.get().user)

    assert anonymous.status_code in (302, 404)
    assert client.get(reverse(name)).status_code == 404


def test_nobody_but_operators_lifts_a_freeze_on_the_page(used, client):
    freezes.freeze(org_ids=[used.pk], reason="test")
    client.force_login(used.memberships.get().user)

    assert client.post(reverse("lift_freeze", args=[used.public_id])).status_code == 404
    assert AdmissionFreeze.objects.filter(lifted_at=None).count() == 1


def test_a_collector_reads_the_zeros_with_its_token(used, client, settings, money_store_client):
    settings.METRICS_TOKEN = "collector"
    watch.check_all()
    lines = client.get(reverse("metrics"), headers={"Authorization": "Bearer collector"}).content.decode().splitlines()
    assert 'tollway_invariant_differences{invariant="I5"} 0' in lines
    assert "tollway_organizations_frozen 0" in lines

    _shift(money_store_client, used, 5)
    watch.check("I5")
    lines = client.get(reverse("metrics"), headers={"Authorization": "Bearer collector"}).content.decode().splitlines()
    assert 'tollway_invariant_off_nanos{invariant="I5"} 5' in lines
    assert "tollway_organizations_frozen 1" in lines

    assert client.get(reverse("metrics"), headers={"Authorization": "Bearer guess"}).status_code == 404
    settings.METRICS_TOKEN = ""
    assert client.get(reverse("metrics"), headers={"Authorization": "Bearer "}).status_code == 404


@pytest.mark.parametrize("name", [f"I{number}" for number in range(1, 15)])
def test_whatever_invariant_breaks_the_operator_is_mailed_and_the_metric_counts_it(used, name, monkeypatch, mailoutbox):
    invariant = checks.INVARIANTS[name]
    found = [Difference(name, "broken by hand", 1, 3, org_ids=(used.pk,), shard=SHARD)]
    monkeypatch.setitem(checks.INVARIANTS, name, invariant._replace(quick=lambda _shards: found))

    watch.check(name)

    assert [(one.invariant, one.organization_id) for one in Incident.objects.all()] == [(name, used.pk)]
    assert [(mail.to, f"({name})" in mail.subject) for mail in mailoutbox] == [(["operator@example.com"], True)]
    assert f'tollway_invariant_differences{{invariant="{name}"}} 1' in metrics.render()
    assert AdmissionFreeze.objects.filter(organization=used, lifted_at=None).exists() == invariant.freezes
