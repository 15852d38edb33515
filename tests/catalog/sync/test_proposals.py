"""From a source to a proposal to a price: reviewed, kept over reloads, ended by newer files; held back when it looks wrong."""

import datetime as dt
from collections import Counter
from collections.abc import Callable
from decimal import Decimal

import pytest
from django.core.management import CommandError, call_command

from accounts.models import AuditEvent
from catalog import publication
from catalog.loader import load_catalog
from catalog.models import Endpoint, PriceOverride, PriceProposal, PriceVersion, Provider, SyncRule
from catalog.sync import proposals, refresh
from catalog.sync.offers import Offer
from catalog.sync.proposals import NotApplicable
from catalog.types import PriceTier, RateCard, Snapshot
from tests.catalog.conftest import ENDPOINT, MODELS, PROVIDER, DataDir, newest_snapshot

SOURCE = "models-dev"
KNOWN = PROVIDER.replace("data_policy:", "source_ids: {{models-dev: [ac]}}\ndata_policy:")
Publish = Callable[..., Snapshot]


def offer(usd_input: str, *, key: str = "small-1", provider: str = "ac") -> Offer:
    return Offer(
        provider, key, key.title(), RateCard(rates={"input_tokens": int(Decimal(usd_input) * 1_000_000), "output_tokens": 1_500_000})
    )


def propose(*offers: Offer) -> list[PriceProposal]:
    run = proposals.propose(source=SOURCE, offers=offers)
    return list(run.proposals.order_by("kind"))


def price() -> int:
    return newest_snapshot().endpoints["maker/small@acme"].cost.rates["input_tokens"]


def test_nothing_is_applied_unreviewed(publish_small: Publish) -> None:
    publish_small(provider=KNOWN)
    [moved] = propose(offer("0.6"))
    assert (moved.kind, moved.state, moved.largest_percent, moved.moves) == ("moved", "open", 20, [["input_tokens", 0, 500_000, 600_000]])
    assert price() == 500_000
    assert PriceVersion.objects.count() == 1


def test_an_applied_proposal_is_in_force_and_says_where_it_comes_from(publish_small: Publish) -> None:
    publish_small(provider=KNOWN)
    proposals.apply(propose(offer("0.6")), by=None)
    assert price() == 600_000
    version = PriceVersion.objects.latest("id")
    assert (version.source["data_set"], version.agreement_level) == ("models-dev", "operator")
    assert version.listed["usd_per_million_tokens"] == {"input": "0.6", "output": "1.5"}
    assert AuditEvent.objects.filter(action="price.overridden", target="maker/small@acme").exists()
    with pytest.raises(NotApplicable, match="decided"):
        proposals.apply(PriceProposal.objects.all(), by=None)


def test_an_applied_price_outlives_a_reload_until_the_files_have_seen_a_newer_one(publish_small: Publish, data_dir: DataDir) -> None:
    publish_small(provider=KNOWN)
    proposals.apply(propose(offer("0.6")), by=None)
    publication.load_and_publish(data_dir=data_dir.write(provider=KNOWN + "# edited\n"))
    assert price() == 600_000
    tomorrow = (dt.datetime.now(dt.UTC) + dt.timedelta(days=1)).date().isoformat()
    publication.load_and_publish(data_dir=data_dir.write(provider=KNOWN, endpoint=ENDPOINT.replace("2026-11-01", tomorrow)))
    assert price() == 500_000


def test_a_rejected_proposal_does_not_come_back_and_another_price_does(publish_small: Publish) -> None:
    publish_small(provider=KNOWN)
    assert proposals.reject(propose(offer("0.6")), by=None) == 1
    assert propose(offer("0.6")) == []
    assert len(propose(offer("0.7"))) == 1


def test_a_newer_run_takes_the_place_of_open_proposals(publish_small: Publish) -> None:
    publish_small(provider=KNOWN)
    [first] = propose(offer("0.6"))
    propose(offer("0.7"))
    first.refresh_from_db()
    assert first.state == "superseded"


def test_a_rule_applies_small_moves_and_nothing_that_is_flagged(publish_small: Publish) -> None:
    publish_small(provider=KNOWN)
    SyncRule.objects.create(source=SOURCE, percent_max=Decimal(10))
    propose(offer("0.56"))
    assert price() == 500_000
    propose(offer("0.55"))
    assert price() == 550_000
    SyncRule.objects.update(percent_max=Decimal(999))
    [wrong] = propose(offer("5.5"))
    assert (wrong.state, wrong.flags) == ("held", ["input_tokens moved by a factor of 10: the unit looks wrong"])
    assert price() == 550_000
    SyncRule.objects.update(provider="other")
    propose(offer("0.56"))
    assert price() == 550_000


def test_a_model_that_is_gone_is_not_switched_off_when_nothing_would_be_left(publish_small: Publish) -> None:
    publish_small(
        provider=KNOWN,
        endpoint=ENDPOINT.replace("level: single", "level: single, seen: [{{source: models-dev, key: ac/small-1, input: '0.5'}}]"),
    )
    gone, new = propose(offer("1", key="large"))
    assert (gone.kind, new.kind) == ("gone", "new")
    # The only endpoint there is: a catalog without any is refused, and the switch with it.
    with pytest.raises(publication.BrokenCatalog):
        proposals.apply([gone], by=None)
    assert Endpoint.objects.get().enabled
    assert PriceProposal.objects.filter(state="applied").count() == 0
    assert not PriceOverride.objects.exists()


def test_a_new_model_is_added_with_what_its_source_says_and_stays_over_a_reload(publish_small: Publish, data_dir: DataDir) -> None:
    publish_small(provider=KNOWN)
    tiered = RateCard(
        rates={"input_tokens": 1_000_000, "output_tokens": 4_000_000, "searches": 10_000_000_000},
        tiers=(PriceTier(200_000, {"input_tokens": 2_000_000}),),
    )
    found = propose(offer("0.5"), Offer("ac", "Large 2", "Large Two", tiered, context_length=400_000, max_output_tokens=32_000))
    proposals.apply([one for one in found if one.kind == "new"], by=None)
    for _ in range(2):
        snapshot = newest_snapshot()
        endpoint = snapshot.endpoints["acme/large-2@acme"]
        assert (endpoint.provider_model_id, endpoint.context_length, endpoint.max_output_tokens) == ("Large 2", 400_000, 32_000)
        assert endpoint.cost == tiered
        assert snapshot.models["acme/large-2"].name == "Large Two"
        publication.load_and_publish(data_dir=data_dir.write(provider=KNOWN + "# edited\n"))
    row = Endpoint.objects.get(slug="acme/large-2@acme")
    assert row.source == {"data_set": SOURCE, "key": "Large 2", "date": dt.datetime.now(dt.UTC).date().isoformat()}
    assert PriceProposal.objects.get(kind="new").endpoint == row
    assert [one.kind for one in propose(offer("0.5"), Offer("ac", "Large 2", "Large Two", tiered))] == []


def test_a_model_that_the_catalog_knows_from_elsewhere_gets_one_more_endpoint(publish_small: Publish) -> None:
    other = MODELS.replace("author: maker\nauthor_name: Maker\nmodels:\n", "").replace("small", "tall").replace("Small", "Tall")
    publish_small(provider=KNOWN, models=MODELS + other)
    proposals.apply([one for one in propose(offer("0.5"), offer("0.7", key="Tall")) if one.kind == "new"], by=None)
    assert newest_snapshot().models["maker/tall"].endpoints == ("maker/tall@acme",)
    assert newest_snapshot().endpoints["maker/tall@acme"].provider_model_id == "Tall"


def test_a_new_model_without_a_price_for_its_answers_is_refused(publish_small: Publish) -> None:
    publish_small(provider=KNOWN)
    found = propose(offer("0.5"), Offer("ac", "large", "Large", RateCard(rates={"input_tokens": 1_000_000})))
    with pytest.raises(NotApplicable, match="price for input and output"):
        proposals.apply([one for one in found if one.kind == "new"], by=None)
    assert Endpoint.objects.count() == 1


def test_a_source_that_cannot_be_read_leaves_a_run_with_the_reason(publish_small: Publish) -> None:
    publish_small()
    Provider.objects.update(base_url_override="http://127.0.0.1:9/v1")
    run = refresh.refresh("provider:acme")
    assert "private network" in run.error
    assert run.proposals.count() == 0
    assert "not a source" in refresh.refresh("the-news").error


@pytest.mark.django_db
def test_the_shipped_catalog_agrees_with_the_installed_package_but_for_what_is_known() -> None:
    load_catalog()
    run = refresh.refresh("genai-prices")
    assert run.summary["offers"] > 2_000
    kinds = Counter(run.proposals.values_list("kind", flat=True))
    assert (kinds["moved"], kinds["gone"]) == (0, 0)
    assert kinds["disagrees"] > 0
    assert refresh.daily_sources() == ["genai-prices"]


def test_the_command_shows_and_applies(publish_small: Publish, data_dir: DataDir, capsys: pytest.CaptureFixture[str]) -> None:
    publish_small(provider=KNOWN)
    file = data_dir.path / "api.json"
    file.write_text('{"ac": {"models": {"small-1": {"cost": {"input": 0.6, "output": 1.5}}}}}')
    call_command("sync_catalog", "models-dev", path=file)
    shown = capsys.readouterr().out
    number = PriceProposal.objects.get().pk
    assert f"{number} moved     maker/small@acme  input_tokens $0.5 → $0.6/M" in shown
    assert "1 moved" in shown
    call_command("sync_catalog", apply=[number])
    assert price() == 600_000
    with pytest.raises(CommandError, match="no finding 0"):
        call_command("sync_catalog", reject=[0])
    with pytest.raises(CommandError, match="percentage"):
        call_command("sync_catalog", "models-dev", path=file, threshold="lots")
    file.write_text("{")
    with pytest.raises(CommandError, match=r"api\.json"):
        call_command("sync_catalog", "models-dev", path=file)
