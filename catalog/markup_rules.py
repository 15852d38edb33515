"""Markup rules: written, ended, and what one would change before it is."""

import datetime as dt
from decimal import Decimal
from typing import Final, NamedTuple

import msgspec
from django.conf import settings
from django.db.models import QuerySet
from django.utils import timezone

from accounts.models import Organization
from catalog.markup import PER_CALLER, Markup, MarkupBook, Names, Rule
from catalog.models import Endpoint, MarkupRule, Model, PlanMember, PriceVersion, Provider
from catalog.pricing import blended_picos
from catalog.types import RateCard

_BASIS_POINTS_MAX: Final = 100_000  # ten times the price on top; more is a percentage mistaken for basis points
_FLOOR_MAX_PICOS: Final = 100_000_000  # $100 per million tokens
_UNSAVED: Final = 2**62  # newer than any rule


class BadRule(ValueError):
    """A rule cannot be written; the message says why."""


class RepricedEndpoint(NamedTuple):
    """One line of a preview. Blended picos are three input tokens and one output token (pricing.blended_picos)."""

    names: Names
    before_picos: int
    after_picos: int
    cost_picos: int

    @property
    def percent(self) -> Decimal:
        """How far the price moves."""
        return Decimal(self.after_picos - self.before_picos) * 100 / self.before_picos if self.before_picos else Decimal(0)


class Preview(NamedTuple):
    """What a rule would change: the endpoints whose price moves."""

    rows: tuple[RepricedEndpoint, ...]

    @property
    def average_percent(self) -> Decimal:
        """The mean of the moves, each endpoint counting once."""
        return sum((row.percent for row in self.rows), Decimal(0)) / len(self.rows) if self.rows else Decimal(0)

    def __str__(self) -> str:
        count = len(self.rows)
        return f"{count} endpoint{'' if count == 1 else 's'}, average {self.average_percent:+.1f} %"


def current_rules() -> QuerySet[MarkupRule]:
    """Return rules that are in force or will be, newest first."""
    return MarkupRule.objects.exclude(effective_until__lte=timezone.now()).order_by("-effective_from", "-id")


def read_book(*, default_basis_points: int | None = None, extra: Rule | None = None) -> MarkupBook:
    """Return every rule, with ``extra`` on top. The rate without a rule defaults to the setting."""
    columns = ("id", "scope", "target", "basis_points", "floor_picos", "effective_from", "effective_until")
    rules = [Rule(*row) for row in MarkupRule.objects.values_list(*columns)]
    default = settings.MARKUP_BASIS_POINTS if default_basis_points is None else default_basis_points
    return MarkupBook([*rules, extra] if extra else rules, default_basis_points=default)


def check_rule(*, scope: str, target: str, basis_points: int, floor_picos: int, since: dt.datetime, until: dt.datetime | None) -> None:
    """Raise BadRule unless such a rule can be written."""
    if not 0 <= basis_points <= _BASIS_POINTS_MAX or not 0 <= floor_picos <= _FLOOR_MAX_PICOS:
        msg = "the percentage must be 0 to 1,000 and the floor 0 to 100 dollars per million tokens"
        raise BadRule(msg)
    if until is not None and until <= since:
        msg = "a rule must end after it begins"
        raise BadRule(msg)
    if scope == "global":
        known = target == ""
    else:
        known = {
            "provider": Provider.objects.filter(slug=target),
            "author": Model.objects.filter(author=target),
            "model": Model.objects.filter(slug=target),
            "endpoint": Endpoint.objects.filter(slug=target),
            "plan": PlanMember.objects.filter(plan=target),
            "organization": Organization.objects.filter(public_id=target),
        }[scope].exists()
    if not known:
        hints = {"global": "a global rule has no target", "plan": f"no organization is on a plan {target!r}"}
        msg = hints.get(scope, f"there is no {scope} {target!r}")
        raise BadRule(msg)


def preview(
    *, scope: str, target: str, basis_points: int, floor_picos: int = 0, at: dt.datetime | None = None
) -> Preview:  # fmt: skip
    """Return what such a rule would change if it held at ``at``, for those whom it concerns. Raises: BadRule."""
    moment = at or timezone.now()
    check_rule(scope=scope, target=target, basis_points=basis_points, floor_picos=floor_picos, since=moment, until=None)
    book = read_book(extra=Rule(_UNSAVED, scope, target, basis_points, floor_picos, moment))
    caller = {scope: target} if scope in PER_CALLER else {}
    ours = read_book() if caller else None
    current = {"endpoint__enabled": True, "endpoint__withdrawn_at": None}
    versions = PriceVersion.objects.public().filter(effective_from__lte=moment, **current).order_by("endpoint_id", "-effective_from", "-id")
    columns = ("endpoint__slug", "endpoint__model__slug", "endpoint__model__author", "endpoint__provider__slug")
    rows = []
    for cost, price, *names in versions.distinct("endpoint_id").values_list("cost", "price", *columns):
        named = Names(*names)
        cost_card, before = msgspec.convert(cost, RateCard), msgspec.convert(price, RateCard)
        if ours is not None:
            before = ours.find(named, at=moment, **caller).apply(cost_card)
        after = book.find(named, at=moment, **caller).apply(cost_card)
        if after != before:
            rows.append(RepricedEndpoint(named, blended_picos(before), blended_picos(after), blended_picos(cost_card)))
    return Preview(tuple(rows))


class PublicTerms(NamedTuple):
    """What the public may know of the markup: the rate on everything, such as '2.75', and whether some endpoints have another."""

    basis_points: int
    percent: str
    has_exceptions: bool


def public_terms() -> PublicTerms:
    """Return the markup that holds now for what no special rule names."""
    now = timezone.now()
    general = read_book().find(Names("", "", "", ""), at=now)
    special = (
        MarkupRule.objects.filter(effective_from__lte=now).exclude(scope__in=("global", *PER_CALLER)).exclude(effective_until__lte=now)
    )
    return PublicTerms(general.basis_points, general.percent, special.exists())


def terms_of(organization: Organization) -> Markup | None:
    """Return the markup that an organization or its plan has for itself, None when it pays what everybody pays."""
    plan = PlanMember.objects.filter(organization=organization).values_list("plan", flat=True).first()
    named = read_book().of_callers(at=timezone.now())
    return named.get(("organization", organization.public_id)) or named.get(("plan", plan or ""))
