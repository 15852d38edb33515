"""Markup rules: which one wins, what it does to a card, its preview, its days, and what a price version keeps of it."""

import datetime as dt
from collections.abc import Callable
from decimal import Decimal

import pytest
from django.core.management import CommandError, call_command
from django.db.models import ProtectedError

from accounts.models import AuditEvent
from catalog import markup_changes, markup_rules, publication
from catalog.markup import MarkupBook, Names, Rule
from catalog.markup_rules import BadRule
from catalog.models import MarkupRule, PriceVersion
from catalog.types import PriceTier, RateCard, Snapshot
from tests.catalog.conftest import newest_snapshot

T0 = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)
NAMES = Names(endpoint="maker/small@acme", model="maker/small", author="maker", provider="acme")


def rule(number: int, scope: str, target: str = "", *, points: int = 0, since: dt.datetime = T0, until: dt.datetime | None = None) -> Rule:
    return Rule(number, scope, target, points or number, 0, since, until)


def test_the_most_specific_rule_wins_whatever_their_order_and_size() -> None:
    rules = [
        rule(1, "global"),
        rule(2, "provider", "acme"),
        rule(3, "author", "maker"),
        rule(4, "model", "maker/small"),
        rule(5, "endpoint", "maker/small@acme"),
        rule(6, "plan", "team"),
        rule(7, "organization", "org_1"),
    ]
    for count in range(1, 6):
        assert MarkupBook(rules[:count][::-1], default_basis_points=900).find(NAMES, at=T0).basis_points == count
    book = MarkupBook(rules, default_basis_points=900)
    assert book.find(NAMES, at=T0).rule_id == 5
    assert book.find(NAMES, at=T0, plan="team").rule_id == 6
    assert book.find(NAMES, at=T0, plan="team", organization="org_1").rule_id == 7
    assert book.find(NAMES, at=T0, plan="other", organization="org_2").rule_id == 5
    other = Names(endpoint="x/y@z", model="x/y", author="x", provider="z")
    assert book.find(other, at=T0).rule_id == 1
    assert MarkupBook(rules[1:], default_basis_points=900).find(other, at=T0) == (900, 0, None)


def test_a_rule_holds_from_its_first_moment_until_before_its_last_and_the_later_of_two_wins() -> None:
    book = MarkupBook([rule(1, "global", since=T0), rule(2, "global", since=T0 + DAY, until=T0 + 3 * DAY)], default_basis_points=900)
    seen = [book.find(NAMES, at=T0 + offset * DAY).basis_points for offset in (-1, 0, 1, 2, 3)]
    assert seen == [900, 1, 2, 2, 1]
    assert book.moments() == [T0, T0 + DAY, T0 + 3 * DAY]


def test_the_floor_lifts_tokens_that_cost_something_and_leaves_free_ones_free() -> None:
    card = RateCard(
        rates={"input_tokens": 100_000, "output_tokens": 10_000_000, "cache_read_tokens": 0, "searches": 5},
        tiers=(PriceTier(100, {"input_tokens": 200_000}),),
    )
    made = MarkupBook([Rule(1, "global", "", 500, 10_000, T0)], default_basis_points=0).find(NAMES, at=T0).apply(card)
    assert made.rates == {"input_tokens": 110_000, "output_tokens": 10_500_000, "cache_read_tokens": 0, "searches": 6}
    assert made.tiers[0].rates == {"input_tokens": 210_000}


def test_a_rule_is_previewed_then_charged_and_both_prices_are_kept(publish_small: Callable[..., Snapshot]) -> None:
    publish_small()
    preview = markup_rules.preview(scope="provider", target="acme", basis_points=500)
    assert str(preview) == "1 endpoint, average +5.0 %"
    assert preview.rows[0].percent == Decimal(5)
    assert PriceVersion.objects.count() == 1
    made = markup_changes.create(scope="provider", target="acme", basis_points=500, by=None)
    endpoint = newest_snapshot().endpoints["maker/small@acme"]
    assert endpoint.cost.rates["input_tokens"] == 500_000
    assert endpoint.price.rates["input_tokens"] == 525_000
    kept = PriceVersion.objects.get(pk=endpoint.price_version_id)
    assert (kept.markup_rule, kept.markup_basis_points, kept.cost["rates"]["input_tokens"]) == (made, 500, 500_000)
    assert str(markup_rules.preview(scope="provider", target="acme", basis_points=500)) == "0 endpoints, average +0.0 %"
    assert AuditEvent.objects.get(action="markup.created").detail["basis_points"] == 500
    with pytest.raises(ProtectedError):
        made.delete()


def test_a_more_specific_rule_keeps_a_general_one_out(publish_small: Callable[..., Snapshot]) -> None:
    publish_small()
    markup_changes.create(scope="model", target="maker/small", basis_points=0, by=None)
    assert len(markup_rules.preview(scope="global", target="", basis_points=500).rows) == 0
    assert len(markup_rules.preview(scope="endpoint", target="maker/small@acme", basis_points=500).rows) == 1


def test_ending_a_rule_brings_the_price_back(publish_small: Callable[..., Snapshot]) -> None:
    publish_small()
    made = markup_changes.create(scope="global", target="", basis_points=1000, by=None)
    markup_changes.end(rule=made, by=None)
    assert newest_snapshot().endpoints["maker/small@acme"].price.rates["input_tokens"] == 500_000
    assert PriceVersion.objects.count() == 3
    with pytest.raises(BadRule, match="ended"):
        markup_changes.end(rule=made, by=None)


def test_a_dated_rule_comes_and_goes_by_itself(publish_small: Callable[..., Snapshot]) -> None:
    publish_small()
    start = newest_snapshot().published_at + DAY
    markup_changes.create(scope="global", target="", basis_points=1000, since=start, until=start + DAY, by=None)
    prices = []
    for offset in (0, 1, 2, 3):
        publication.publish_due(now=start + offset * DAY - dt.timedelta(hours=1))
        prices.append(newest_snapshot().endpoints["maker/small@acme"].price.rates["input_tokens"])
    assert prices == [500_000, 550_000, 500_000, 500_000]


def test_a_rule_that_is_called_off_before_its_day_never_holds(publish_small: Callable[..., Snapshot]) -> None:
    publish_small()
    start = newest_snapshot().published_at + DAY
    made = markup_changes.create(scope="global", target="", basis_points=1000, since=start, by=None)
    markup_changes.end(rule=made, by=None)
    publication.publish_due(now=start + DAY)
    assert PriceVersion.objects.count() == 1


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"scope": "organization", "target": "org_1"}, "no organization 'org_1'"),
        ({"scope": "plan", "target": "team"}, "no organization is on a plan 'team'"),
        ({"scope": "provider", "target": "nobody"}, "no provider 'nobody'"),
        ({"scope": "global", "target": "acme"}, "no target"),
        ({"scope": "global", "target": "", "basis_points": 100_001}, "percentage"),
        ({"scope": "global", "target": "", "until": T0}, "end after"),
        ({"scope": "global", "target": "", "since": T0}, "past"),
    ],
)
def test_what_cannot_be_charged_is_refused(publish_small: Callable[..., Snapshot], fields: dict[str, object], words: str) -> None:
    publish_small()
    with pytest.raises(BadRule, match=words):
        markup_changes.create(**{"basis_points": 500, "by": None, **fields})  # type: ignore[arg-type]
    assert not MarkupRule.objects.exists()


def test_the_command_previews_and_applies(publish_small: Callable[..., Snapshot], capsys: pytest.CaptureFixture[str]) -> None:
    publish_small()
    call_command("set_markup", "5", "--provider", "acme")
    assert capsys.readouterr().out == "1 endpoint, average +5.0 %\nNothing has changed; repeat with --apply.\n"
    call_command("set_markup", "2.75", "--floor", "0.1", "--apply")
    assert newest_snapshot().endpoints["maker/small@acme"].price.rates == {"input_tokens": 600_000, "output_tokens": 1_600_000}
    for percent in ("2.755", "five", "NaN"):
        with pytest.raises(CommandError, match="percentage"):
            call_command("set_markup", percent)
    with pytest.raises(CommandError, match="no model"):
        call_command("set_markup", "5", "--model", "maker/large")
