"""The proof of the proof: bugs put in on purpose are found by the oracle of the random sequences and by the invariants.

A fixed history takes the ledger machine through everything that those bugs concern, with its own assertions after each step.
"""

from typing import Any

import pytest

from tests.billing.test_ledger_machine import Ledger
from tests.faults.mutants import MUTANTS

pytestmark = [pytest.mark.xdist_group("faults"), pytest.mark.django_db(transaction=True)]


class _First:
    """Draws the first of whatever there is."""

    def draw(self, strategy: Any) -> Any:
        return strategy.elements[0]


def _tell_story() -> None:
    ledger, first = Ledger(), _First()

    def step(rule: Any, *args: Any) -> None:
        rule(*args)
        ledger.what_is_live_is_never_too_high_and_what_is_held_is_the_sum_of_holds()

    ledger.begin()
    for which, promo, is_published in ((0, False, True), (1, True, False), (0, True, True)):
        step(ledger.grant, which, 5_000, promo, is_published)
    step(ledger.sweep)
    # Settled three times over, booked by workers that die at each point.
    for crash in ("before commit", "after commit", "half acknowledged"):
        for amount in (1_000, 0, 77):
            step(ledger.reserve, 0, amount)
            step(ledger.settle, first, 50, 3)
        step(ledger.consume, crash, 20)
        step(ledger.consume, None, 20)
    # More than there is; a dead gateway whose spool comes late; one that never comes.
    step(ledger.reserve, 1, 10**15)
    for _ in range(2):
        step(ledger.reserve, 0, 1_000)
        step(ledger.gateway_dies, first, 40)
    step(ledger.consume, None, 20)
    step(ledger.dead_gateways_spool_is_adopted, first, 90)
    step(ledger.consume, None, 20)
    # A rebuild with entries waiting, then one of nothing, with a request running.
    for is_wiped in (False, True):
        step(ledger.reserve, 0, 300)
        step(ledger.reserve, 1, 400)
        step(ledger.settle, first, 120, 1)
        step(ledger.rebuild, is_wiped)
        step(ledger.settle, first, 10, 2)
        step(ledger.consume, None, 20)
    step(ledger.reverse, first)
    ledger.teardown()


def test_the_history_itself_breaks_nothing(money_store):
    _tell_story()


@pytest.mark.parametrize("name", MUTANTS)
def test_a_seeded_bug_is_found(money_store, monkeypatch, record_property, name):
    for target, attribute, value in MUTANTS[name]():
        monkeypatch.setattr(target, attribute, value)

    with pytest.raises(Exception) as caught:  # noqa: PT011 -- a broken assertion, or an error of what the bug made stumble
        _tell_story()

    record_property("repeats", 1)
    record_property("figure", f"{name}: {type(caught.value).__name__}")
