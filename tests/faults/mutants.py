"""Bugs put in on purpose, each of a kind that billing systems have had. ``apply`` returns the module attributes to replace."""

import hashlib
import itertools
import sys
from collections.abc import Callable
from typing import Any

from billing import live
from billing.authorizer import scripts
from billing.authorizer.scripts import Script
from billing.books import charges, outbox, rebuild, settlement, transfers, usage

Patch = tuple[object, str, Any]

_NUMBERED = "if seq <= last then return 'DUPLICATE' end\nif seq ~= last + 1 then return 'GAP' end"


def _rewrite(name: str, old: str, new: str) -> Callable[[], list[Patch]]:
    """Change a script everywhere it is used."""

    def patches() -> list[Patch]:
        script = getattr(scripts, name)
        assert old in script.text, f"{name} has changed: the seeded bug needs a new place"
        text = script.text.replace(old, new)
        bad = Script(script.name, text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())
        modules = [module for module in sys.modules.values() if getattr(module, name, None) is script]
        return [(module, name, bad) for module in modules]

    return patches


def _acknowledge_without_refunds() -> list[Patch]:
    acknowledge = live.acknowledge

    def forgetful(*, shard: int, acks: list[live.Ack], **how: bool) -> int:
        return acknowledge(shard=shard, acks=[ack._replace(refund_nanos=0) for ack in acks], **how)

    return [(live, "acknowledge", forgetful)]


def _refund_redeliveries() -> list[Patch]:
    insert = usage.insert

    def generous(arrivals: Any, *, batch_id: int) -> usage.Insertion:
        insertion = insert(arrivals, batch_id=batch_id)
        fresh = {row.src for row in insertion.rows}
        return insertion._replace(carried_nanos={src: nanos if src in fresh else 0 for src, nanos in insertion.carried_nanos.items()})

    return [(usage, "insert", generous)]


def _charge_duplicates() -> list[Patch]:
    insert = usage.insert

    def double(arrivals: Any, *, batch_id: int) -> usage.Insertion:
        insertion = insert(arrivals, batch_id=batch_id)
        known = {row.src for row in insertion.rows}
        again = [usage.UsageRow(one.event, 0, one.src, one.created_ms, one.day, {}) for one in arrivals if one.src not in known]
        return insertion._replace(rows=[*insertion.rows, *again])

    return [(usage, "insert", double), (charges, "assert_balanced", lambda *_, **__: None)]


def _book_late_figures_whole() -> list[Patch]:
    def whole(arrival: Any, _expired: Any) -> usage.UsageRow:
        return usage.UsageRow(arrival.event, 1, arrival.src, arrival.created_ms, arrival.day, arrival.event.meters)

    return [(usage, "_difference", whole)]


def _acknowledge_before_the_commit() -> list[Patch]:
    book = settlement._book

    def hasty(shard: int, batch: Any, **how: Any) -> Any:
        live.stream.acknowledge(
            shard=shard, acks=[live.Ack(one.stream_id, one.event.org_id, one.event.key_id, one.event.amount_nanos) for one in batch]
        )
        return book(shard, batch, **how)

    return [(settlement, "_book", hasty)]


def _forget_the_rollup() -> list[Patch]:
    roll_up = charges.roll_up
    return [(charges, "roll_up", lambda sums: roll_up(sums._replace(hourly=sums.hourly[1:])))]


def _lose_an_event_of_each_batch() -> list[Patch]:
    read_batch = live.read_batch

    def careless(*, shard: int, **where: Any) -> list[live.StreamEntry]:
        entries = read_batch(shard=shard, **where)
        if len(entries) > 1:
            live.stream.acknowledge(shard=shard, acks=[live.Ack(entries[-1].stream_id, entries[-1].org_id, 0, entries[-1].amount_nanos)])
            return entries[:-1]
        return entries

    return [(live, "read_batch", careless)]


def _rebuild_without_draining() -> list[Patch]:
    blind = _Shadow(settlement, settle_shard=lambda **_: settlement.Settled())
    return [(rebuild, "settlement", blind), (rebuild, "live", _Shadow(live, stream_lag=lambda **_: live.StreamLag(0, 0)))]


class _Shadow:
    """A module with some of its functions replaced, for one importer only."""

    def __init__(self, module: Any, **replaced: Any) -> None:
        self._module = module
        self.__dict__.update(replaced)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)


def _publish_unnumbered() -> list[Patch]:
    apply_credit = live.apply_credit

    def again(**fields: Any) -> str:
        apply_credit(**fields)
        return apply_credit(**fields)  # at least once is normal; the number must make it exactly once

    return [(outbox, "live", _Shadow(live, apply_credit=again)), *_rewrite("CREDIT", _NUMBERED, "")()]


def _grant_twice() -> list[Patch]:
    post, numbers = transfers.post, itertools.count()
    return [(transfers, "post", lambda *, key, **fields: post(key=f"{key}-{next(numbers)}", **fields))]


MUTANTS: dict[str, Callable[[], list[Patch]]] = {
    "a second entry of an event is never given back": _acknowledge_without_refunds,
    "a mere redelivery is given back": _refund_redeliveries,
    "an event that is booked is charged again": _charge_duplicates,
    "a credit has no number that makes it once": _publish_unnumbered,
    "a late figure is booked whole on top of the reaper's": _book_late_figures_whole,
    "a settlement does not release its hold": _rewrite("SETTLE", "if held ~= '0' then add(keys[2], 'held', neg(held)) end", ""),
    "a hold is granted without looking at the balance": _rewrite(
        "RESERVE", "if add(keys[2], 'avail', neg(amount)) < 0 and not force then", "add(keys[2], 'avail', neg(amount))\nif false then"
    ),
    "a refused hold keeps what it took": _rewrite("RESERVE", "undo()\n    return {'SHORT_BALANCE'", "return {'SHORT_BALANCE'"),
    "a zero is written as minus zero": _rewrite("RESERVE", "if amount == '0' then return '0' end", ""),
    "an event of a batch is acknowledged and not booked": _lose_an_event_of_each_batch,
    "entries are acknowledged before the commit": _acknowledge_before_the_commit,
    "hourly sums leave out an event": _forget_the_rollup,
    "a rebuild does not book the stream first": _rebuild_without_draining,
    "a repeated grant is granted again": _grant_twice,
    "the reaper charges the hold and not what was spent": _rewrite(
        "REAP", "local org, event, amount = args[2], args[3], args[4]", "local org, event, amount = args[2], args[3], args[7]"
    ),
    "an acknowledged charge stays on its way": lambda: [
        *_rewrite("ACKNOWLEDGE_PLAIN", "neg(sum)", "'0'")(),
        *_rewrite("ACKNOWLEDGE_RUN", "neg(ARGV[i + 2])", "'0'")(),
    ],
}
