"""The operator's pages: what they show, that nothing happens before its preview was seen, and who may."""

import datetime as dt
import re
from collections.abc import Callable

import pytest
from django.test import Client

from accounts.models import AuditEvent, User
from catalog.models import Endpoint, MarkupRule, PriceOverride, PriceProposal, PriceVersion, SyncRun
from catalog.types import Snapshot
from tests.catalog.conftest import newest_snapshot
from tests.factories.people import UserFactory


@pytest.fixture
def operator(db: None) -> User:
    user: User = UserFactory(is_staff=True, is_superuser=True)
    return user


@pytest.fixture
def office(operator: User, publish_small: Callable[..., Snapshot]) -> Client:
    """Return a client signed in as the operator, of a small catalog."""
    publish_small()
    client = Client()
    client.force_login(operator)
    return client


def test_every_table_opens(office: Client) -> None:
    run = SyncRun.objects.create(source="genai-prices", started_at=dt.datetime.now(dt.UTC), started_by="system")
    PriceProposal.objects.create(
        run=run,
        kind="moved",
        provider="acme",
        name="Small",
        moves=[["input_tokens", 0, 500_000, 600_000]],
        flags=["odd"],
        largest_percent=20,
    )
    for name in ("priceversion", "markuprule", "priceoverride", "priceproposal", "syncrun", "syncrule", "provider", "model", "endpoint"):
        assert office.get(f"/operator/catalog/{name}/").status_code == 200, name
    for name in ("markuprule", "priceoverride", "syncrule"):
        assert office.get(f"/operator/catalog/{name}/add/").status_code == 200, name
    assert "input_tokens 0.5 → 0.6" in office.get("/operator/catalog/priceproposal/").content.decode()


def test_a_rule_is_shown_first_and_written_by_the_second_submission(office: Client, operator: User) -> None:
    rule = {"scope": "provider", "target": "acme", "percent": "5", "floor_usd": "", "note": "autumn"}
    shown = office.post("/operator/catalog/markuprule/add/", rule)
    assert shown.status_code == 200
    assert "This would change 1 endpoint, average +5.0 %" in shown.content.decode()
    assert not MarkupRule.objects.exists()
    assert office.post("/operator/catalog/markuprule/add/", {**rule, "confirmed": "on"}).status_code == 302
    assert newest_snapshot().endpoints["maker/small@acme"].price.rates["input_tokens"] == 525_000
    assert AuditEvent.objects.get(action="markup.created").actor == operator.email
    assert "4.76 %" in office.get("/operator/catalog/priceversion/").content.decode()
    refused = office.post("/operator/catalog/markuprule/add/", {**rule, "target": "nobody", "confirmed": "on"})
    assert "there is no provider &#x27;nobody&#x27;" in refused.content.decode()
    office.post("/operator/catalog/markuprule/", {"action": "end_rules", "_selected_action": [MarkupRule.objects.get().pk]})
    assert newest_snapshot().endpoints["maker/small@acme"].price.rates["input_tokens"] == 500_000


def test_an_endpoint_shows_the_margin_of_the_price_in_force(office: Client) -> None:
    def margins() -> list[str]:
        return re.findall(r'class="field-margin">([^<]*)<', office.get("/operator/catalog/endpoint/").content.decode())

    assert margins() == ["0.00 %"]
    first = PriceVersion.objects.get()
    now = dt.datetime.now(dt.UTC)
    waiting = {"rates": {"input_tokens": 5_000_000, "output_tokens": 15_000_000}}
    for since, price in [
        (now + dt.timedelta(days=1), waiting),
        (now, {"rates": {"input_tokens": 625_000, "output_tokens": 1_875_000}}),
        (first.effective_from - dt.timedelta(days=1), waiting),
    ]:
        PriceVersion.objects.create(
            endpoint=first.endpoint, effective_from=since, cost=first.cost, price=price, listed={}, agreement_level="single"
        )
    assert margins() == ["20.00 %"]
    unpriced = Endpoint.objects.create(
        slug="maker/small@new", model=first.endpoint.model, provider=first.endpoint.provider, provider_model_id="small-2", tag="new",
        last_seen=now.date(),
    )  # fmt: skip
    assert margins() == ["–", "20.00 %"]
    office.post("/operator/catalog/endpoint/", {"action": "switch_off", "_selected_action": [unpriced.pk]})
    assert list(Endpoint.objects.filter(enabled=False)) == [unpriced]


def test_a_price_is_scheduled_after_its_preview(office: Client) -> None:
    endpoint = PriceVersion.objects.get().endpoint_id
    price = {"endpoint": endpoint, "input": "0.75", "day": "2126-03-01"}
    assert "from 2126-03-01: input $0.75" in office.post("/operator/catalog/priceoverride/add/", price).content.decode()
    assert office.post("/operator/catalog/priceoverride/add/", {**price, "confirmed": "on"}).status_code == 302
    waiting = PriceVersion.objects.latest("id")
    assert (waiting.effective_from, waiting.cost["rates"]["input_tokens"]) == (dt.datetime(2126, 3, 1, tzinfo=dt.UTC), 750_000)
    assert newest_snapshot().endpoints["maker/small@acme"].cost.rates["input_tokens"] == 500_000
    assert "is not in the future" in office.post("/operator/catalog/priceoverride/add/", {**price, "day": "2020-01-01"}).content.decode()
    assert "name prices among" in office.post("/operator/catalog/priceoverride/add/", {"endpoint": endpoint}).content.decode()


def test_a_price_set_now_is_in_force_at_once(office: Client) -> None:
    price = {"endpoint": PriceVersion.objects.get().endpoint_id, "input": "0.75", "confirmed": "on"}
    assert office.post("/operator/catalog/priceoverride/add/", price).status_code == 302
    assert newest_snapshot().endpoints["maker/small@acme"].cost.rates == {"input_tokens": 750_000, "output_tokens": 1_500_000}
    assert PriceOverride.objects.get().listed["usd_per_million_tokens"] == {"input": "0.75", "output": "1.5"}


def test_staff_without_the_right_sees_and_changes_nothing(publish_small: Callable[..., Snapshot]) -> None:
    publish_small()
    client = Client()
    client.force_login(UserFactory(is_staff=True))
    assert client.get("/operator/catalog/markuprule/").status_code == 403
    assert client.post("/operator/catalog/markuprule/add/", {"scope": "global", "percent": "5", "confirmed": "on"}).status_code == 403
    assert not MarkupRule.objects.exists()
