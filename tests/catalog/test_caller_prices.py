"""Prices of organizations and plans: who has which book, what a version keeps, and that the public price never moves with them."""

import datetime as dt
from collections.abc import Callable

import msgspec
import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from accounts.models import AuditEvent, Organization
from catalog import history, markup_changes, markup_rules, plans, publication
from catalog.models import PriceVersion
from catalog.plans import BadPlan
from catalog.types import CallerPrice, Snapshot
from tests.catalog.conftest import newest_snapshot
from tests.factories.people import OrganizationFactory, UserFactory

ENDPOINT = "maker/small@acme"


@pytest.fixture
def organization(publish_small: Callable[..., Snapshot]) -> Organization:
    publish_small()
    return OrganizationFactory(owner=UserFactory())


def price_of(organization: Organization) -> CallerPrice | None:
    snapshot = newest_snapshot()
    book = dict(snapshot.book_of).get(organization.pk)
    return msgspec.msgpack.decode(snapshot.price_books[book], type=dict[str, CallerPrice])[ENDPOINT] if book else None


def public_input_picos() -> int:
    return newest_snapshot().endpoints[ENDPOINT].price.rates["input_tokens"]


def mark_up(scope: str, target: str, basis_points: int) -> object:
    return markup_changes.create(scope=scope, target=target, basis_points=basis_points, by=None)


def test_an_organization_with_a_rule_has_prices_of_its_own_and_nobody_else_has(organization: Organization) -> None:
    rule = mark_up("organization", organization.public_id, 1000)
    found = price_of(organization)
    assert found is not None
    assert found.price.rates["input_tokens"] == 550_000
    assert public_input_picos() == 500_000
    assert price_of(OrganizationFactory(owner=UserFactory())) is None
    kept = PriceVersion.objects.get(pk=found.price_version_id)
    assert (kept.caller, kept.markup_rule, kept.markup_basis_points) == (f"organization:{organization.public_id}", rule, 1000)
    assert kept.cost["rates"]["input_tokens"] == 500_000
    assert kept.base == PriceVersion.objects.public().get()


def test_another_publication_appends_nothing_and_a_new_cost_appends_one_for_each(
    organization: Organization, publish_small: Callable[..., Snapshot]
) -> None:
    mark_up("organization", organization.public_id, 1000)
    assert not publication.publish().is_new
    assert PriceVersion.objects.count() == 2
    mark_up("global", "", 500)
    assert public_input_picos() == 525_000
    found = price_of(organization)
    assert found is not None
    assert found.price.rates["input_tokens"] == 550_000  # its own rule, whatever holds for the rest
    assert (PriceVersion.objects.public().count(), PriceVersion.objects.count()) == (2, 4)
    assert PriceVersion.objects.get(pk=found.price_version_id).base == PriceVersion.objects.public().latest("id")


def test_a_plan_has_a_price_and_an_organizations_own_goes_before_it(organization: Organization) -> None:
    other = OrganizationFactory(owner=UserFactory())
    for one in (organization, other):
        plans.assign(organization=one, plan="team", by=None)
    mark_up("plan", "team", 200)
    mark_up("organization", organization.public_id, 0)
    own, by_plan = price_of(organization), price_of(other)
    assert own is not None
    assert by_plan is not None
    assert (own.price.rates["input_tokens"], by_plan.price.rates["input_tokens"]) == (500_000, 510_000)
    plans.assign(organization=other, plan="", by=None)
    assert price_of(other) is None
    assert [event.detail for event in AuditEvent.objects.filter(action="plan.assigned").order_by("id")] == [
        {"plan": "team"},
        {"plan": "team"},
        {"plan": ""},
    ]


def test_the_end_of_a_rule_brings_the_public_price_back(organization: Organization) -> None:
    rule = markup_changes.create(scope="organization", target=organization.public_id, basis_points=1000, by=None)
    markup_changes.end(rule=rule, by=None)
    assert price_of(organization) is None
    assert newest_snapshot().price_books == {}


def test_a_dated_rule_of_an_organization_comes_by_itself(organization: Organization) -> None:
    start = newest_snapshot().published_at + dt.timedelta(days=1)
    markup_changes.create(scope="organization", target=organization.public_id, basis_points=1000, since=start, by=None)
    assert price_of(organization) is None
    publication.publish_due(now=start)
    assert price_of(organization) is not None


def test_public_histories_changes_and_terms_know_nothing_of_them(organization: Organization) -> None:
    mark_up("organization", organization.public_id, 1000)
    assert len(history.price_periods([ENDPOINT])[ENDPOINT]) == 1
    assert history.latest_changes(newest_snapshot(), count=10) == []
    assert markup_rules.public_terms() == (0, "0", False)


def test_a_preview_compares_with_what_that_caller_pays_now(organization: Organization) -> None:
    mark_up("organization", organization.public_id, 1000)
    assert (
        str(markup_rules.preview(scope="organization", target=organization.public_id, basis_points=1000)) == "0 endpoints, average +0.0 %"
    )
    shown = markup_rules.preview(scope="organization", target=organization.public_id, basis_points=0)
    assert str(shown) == "1 endpoint, average -9.1 %"


def test_the_pricing_page_tells_members_of_their_prices_and_strangers_nothing(organization: Organization, client: Client) -> None:
    mark_up("organization", organization.public_id, 275)
    client.force_login(organization.memberships.get().user)
    assert "2.75 % is added" in client.get("/pricing").content.decode()
    stranger = OrganizationFactory(owner=UserFactory())
    client.force_login(stranger.memberships.get().user)
    assert "prices of its own" not in client.get("/pricing").content.decode()


def test_commands_assign_plans_and_say_what_is_wrong(organization: Organization) -> None:
    call_command("set_plan", organization.public_id, "team")
    call_command("set_markup", "2.5", "--plan", "team", "--apply")
    found = price_of(organization)
    assert found is not None
    assert found.price.rates["input_tokens"] == 512_500
    call_command("set_plan", organization.public_id, "none")
    assert price_of(organization) is None
    for arguments, words in ((("org_nobody", "team"), "no organization"), ((organization.public_id, "Not A Plan"), "lower-case")):
        with pytest.raises(CommandError, match=words):
            call_command("set_plan", *arguments)
    with pytest.raises(BadPlan):
        plans.assign(organization=organization, plan="-", by=None)
