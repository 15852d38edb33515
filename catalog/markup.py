"""What is added to a provider's price, and which rule says so. Pure.

Of the rules in force the most specific one wins: an organization's before a plan's, then endpoint, model, author, provider, global. Of two
for the same thing the later one wins. Without any, the installation's own rate (MARKUP_BASIS_POINTS) holds.
"""

import datetime as dt
from collections.abc import Iterable
from decimal import Decimal
from typing import Final, NamedTuple

from catalog.pricing import marked_up
from catalog.types import RateCard

# From the most specific to the most general.
SCOPES: Final = ("organization", "plan", "endpoint", "model", "author", "provider", "global")
PER_CALLER: Final = frozenset({"organization", "plan"})


class Markup(NamedTuple):
    """``basis_points`` on every rate, and at least ``floor_picos`` on every token that costs anything. ``rule_id`` None: the setting."""

    basis_points: int
    floor_picos: int = 0
    rule_id: int | None = None

    @property
    def percent(self) -> str:
        """The rate, such as '5' or '2.75'."""
        return f"{Decimal(self.basis_points) / 100:f}".rstrip("0").rstrip(".") if self.basis_points else "0"

    def apply(self, cost: RateCard) -> RateCard:
        """Return the customer's card. What is free stays free."""
        return marked_up(cost, self.basis_points, floor_picos=self.floor_picos)


class Rule(NamedTuple):
    """A rule as it is written down; in force from ``since`` until ``until`` (None: for good), half-open."""

    id: int
    scope: str
    target: str  # '' for global
    basis_points: int
    floor_picos: int
    since: dt.datetime
    until: dt.datetime | None = None

    def is_in_force(self, at: dt.datetime) -> bool:
        """Return whether the rule holds at a moment."""
        return self.since <= at and (self.until is None or at < self.until)


class Names(NamedTuple):
    """What rules can name an endpoint by."""

    endpoint: str
    model: str
    author: str
    provider: str


class MarkupBook:
    """Every rule, and the rate without one."""

    def __init__(self, rules: Iterable[Rule], *, default_basis_points: int) -> None:
        self._default = Markup(default_basis_points)
        self._rules: dict[tuple[str, str], list[Rule]] = {}
        for rule in sorted(rules, key=lambda one: (one.since, one.id)):
            self._rules.setdefault((rule.scope, rule.target), []).append(rule)

    def find(self, names: Names, *, at: dt.datetime, organization: str = "", plan: str = "") -> Markup:
        """Return the markup of an endpoint at a moment, for everybody or for one caller."""
        targets = {**names._asdict(), "organization": organization, "plan": plan, "global": ""}
        for scope in SCOPES:
            target = targets[scope]
            if not target and scope != "global":
                continue
            for rule in reversed(self._rules.get((scope, target), ())):
                if rule.is_in_force(at):
                    return Markup(rule.basis_points, rule.floor_picos, rule.id)
        return self._default

    def of_callers(self, *, at: dt.datetime) -> dict[tuple[str, str], Markup]:
        """Return the markups that hold at a moment for an organization or a plan, by scope and target. Each is one for everything."""
        nobody = Names("", "", "", "")
        held = {key for key, rules in self._rules.items() if key[0] in PER_CALLER and any(rule.is_in_force(at) for rule in rules)}
        return {(scope, target): self.find(nobody, at=at, **{scope: target}) for scope, target in sorted(held)}

    def moments(self) -> list[dt.datetime]:
        """Return when rules begin and end."""
        return sorted({moment for rules in self._rules.values() for rule in rules for moment in (rule.since, rule.until) if moment})
