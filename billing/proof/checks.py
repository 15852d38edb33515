"""The named invariants: what each compares, how it is checked in a moment, and how over everything."""

import itertools
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Final, NamedTuple

from django.conf import settings

from accounts import queries as accounts
from billing import live
from billing.books import invariants, live_invariants, lots, restored
from billing.books.difference import Difference
from billing.reconciliation import invariants as bills

_SLICES: Final = 10
_SLICE_S: Final = 30


class Invariant(NamedTuple):
    """One sentence about the books that must be true.

    ``quick`` takes the shards to look at, if the invariant is ``by_shard``, and costs little however old the books are; ``whole`` reads
    everything. A broken one that ``freezes`` stops new requests of the organizations concerned.
    """

    name: str
    title: str
    quick: Callable[[list[int]], Iterable[Difference]]
    whole: Callable[[], Iterable[Difference]]
    freezes: bool = True
    by_shard: bool = False


def present_slice(*, now_s: float | None = None) -> list[int]:
    """Return the tenth of the shards whose turn it is: all of them within five minutes."""
    turn = int((time.time() if now_s is None else now_s) // _SLICE_S) % _SLICES
    return [shard for shard in range(settings.LEDGER_SHARDS) if shard % _SLICES == turn]


def _some(look: Callable[[int], Iterator[Difference]], name: str, shards: Iterable[int]) -> Iterator[Difference]:
    for shard in sorted(accounts.inhabited(list(shards))):
        yield from (difference for difference in look(shard) if difference.invariant == name)


def _everywhere() -> range:
    return range(settings.LEDGER_SHARDS)


def _in_one_moment(look: Callable[[], Iterator[Difference]]) -> Callable[[], list[Difference]]:
    def looked() -> list[Difference]:
        with invariants.one_moment():
            return list(look())

    return looked


def _ignoring(look: Callable[[], Iterable[Difference]]) -> Callable[[list[int]], Iterable[Difference]]:
    return lambda _shards: look()


def _streams() -> Iterator[Difference]:
    for shard in live.shards_with_entries():
        yield from live_invariants.lag(shard)
    yield from invariants.refused_entries()


_sums = _in_one_moment(invariants.sums)
_floors = _in_one_moment(invariants.floors)
_drained, _holds = live_invariants.drained, live_invariants.holds

INVARIANTS: dict[str, Invariant] = {
    one.name: one
    for one in (
        Invariant("I1", "Debits equal credits over all accounts", _ignoring(_sums), _sums),
        Invariant(
            "I2",
            "Every account is the sum of its transfers",
            _ignoring(_in_one_moment(invariants.sequences)),
            _in_one_moment(invariants.counters),
        ),
        Invariant(
            "I3",
            "Usage equals its transfers, batches and hourly sums",
            _ignoring(_in_one_moment(lambda: invariants.usage(days=invariants.WINDOW_DAYS))),
            _in_one_moment(invariants.usage),
        ),
        Invariant(
            "I4",
            "Every charge of the money store is one row of the books",
            lambda shards: _some(_drained, "I4", shards),
            lambda: _some(_drained, "I4", _everywhere()),
            by_shard=True,
        ),
        Invariant(
            "I5",
            "Live balances equal the books",
            lambda shards: _some(_drained, "I5", shards),
            lambda: _some(_drained, "I5", _everywhere()),
            by_shard=True,
        ),
        Invariant(
            "I6",
            "What is held is the sum of the holds, and none is forgotten",
            lambda shards: _some(_holds, "I6", {*shards, *live.shards_with_holds()}),
            lambda: _some(_holds, "I6", _everywhere()),
            by_shard=True,
        ),
        Invariant("I7", "No customer is below zero by more than one overrun", _ignoring(_floors), _floors, freezes=False),
        *(
            Invariant(name, title, _ignoring(look), look, freezes=False)
            for name, title, look in (
                ("I9", "Stripe's movements and balance are the clearing account's", bills.stripe_agrees),
                ("I10", "Providers bill what the books say", bills.bills_agree),
                ("I12", "Nothing stays unexplained for three days", bills.suspense_is_cleared),
            )
        ),
        Invariant("I8", "Nothing waits for the books and nothing was refused", _ignoring(_streams), _streams, freezes=False),
        Invariant(
            "I14",
            "The books know everything that the money store has seen booked",
            restored.differences,
            lambda: restored.differences(_everywhere()),
            by_shard=True,
        ),
        Invariant(
            "I13",
            "Granted credit is the sum of its lots",
            _ignoring(_in_one_moment(lots.sums)),
            _in_one_moment(lambda: itertools.chain(lots.sums(), lots.counters())),
            freezes=False,
        ),
    )
}


def register(invariant: Invariant) -> None:
    """Add an invariant that this module cannot check by itself, such as one that needs the catalog."""
    INVARIANTS[invariant.name] = invariant


def in_order() -> list[Invariant]:
    """Return all invariants, I1 first."""
    return sorted(INVARIANTS.values(), key=lambda one: int(one.name[1:]))
