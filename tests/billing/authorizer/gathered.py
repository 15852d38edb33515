"""A connection that runs at once what a gatherer sends, so that one call can be compared with the same requests one by one."""

import asyncio
import uuid
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import msgspec
import redis

from billing import live
from billing.authorizer.connection import Arg, MoneyStoreError
from billing.authorizer.gathering import Reservations, Settlements
from billing.authorizer.scripts import Script
from billing.authorizer.types import SpoolRecord
from billing.live import EpochClosed
from billing.live.store import run
from tests.billing.authorizer.shard import CALLER, CONTEXT, KEY, ORG, SHARD, Shard, new_id, scope, usage_event


class Charge(NamedTuple):
    """A settlement as its gateway sends it."""

    event_id: uuid.UUID
    amount: int
    held: int
    org: int = ORG
    key: int = KEY


class Ask(NamedTuple):
    """A hold as its gateway asks for it."""

    event_id: uuid.UUID
    amount: int
    org: int = ORG
    key: int = KEY


class AtOnce:
    """Stands where a MoneyConnection stands. ``sent`` has the names of the scripts it ran."""

    run_id = ""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self._gatherers: list[Callable[[], None]] = []

    def before_flush(self, gatherer: Callable[[], None]) -> None:
        self._gatherers.append(gatherer)

    def new_future(self) -> "asyncio.Future[Any]":
        return asyncio.get_running_loop().create_future()

    def gather(self, *, is_awaited: bool) -> None:
        """Nothing: the test says when the turn ends."""

    def end_turn(self) -> None:
        for gatherer in self._gatherers:
            gatherer()

    def post_script(
        self, script: Script, keys: Sequence[str], args: Sequence[Arg], tell: Callable[[Any, Exception | None], None], *, requests: int = 1
    ) -> None:
        self.sent.append(script.name)
        assert requests >= 1
        try:
            reply = run(script, keys, args)
        except EpochClosed:
            reply = [b"EPOCH"]
        except redis.ResponseError as error:
            tell(None, MoneyStoreError(str(error)))
            return
        tell(reply, None)


def settle_together(charges: Sequence[Charge], *, connection: AtOnce | None = None) -> list[str]:
    """Settle in one turn. Returns a word for each, in their order: the status, or the first word of the error."""
    words: dict[int, str] = {}
    connection = connection or AtOnce()

    def tell(record: SpoolRecord, reply: Any, error: Exception | None) -> None:
        assert id(record) not in words
        words[id(record)] = str(error).split()[0] if error else reply[0].decode()

    settlements = Settlements(connection, tell)  # type: ignore[arg-type]  # as much of one as it asks for
    records = [_record(charge) for charge in charges]
    for record in records:
        settlements.settle(record, late=False)
    connection.end_turn()
    return [words[id(record)] for record in records]


def reserve_together(asks: Sequence[Ask], *, connection: AtOnce | None = None) -> list[tuple[str, int | None]]:
    """Ask for holds in one turn. Returns for each, in their order: the status or the first word of the error, and what is available."""
    return asyncio.run(_reserve_together(asks, connection or AtOnce()))


async def _reserve_together(asks: Sequence[Ask], connection: AtOnce) -> list[tuple[str, int | None]]:
    reservations = Reservations(connection, ttl_ms=30_000)  # type: ignore[arg-type]  # as much of one as it asks for
    futures = []
    for ask in asks:
        caller = msgspec.structs.replace(CALLER, org_id=ask.org, key_id=ask.key)
        futures.append(reservations.reserve(caller, ask.event_id.hex, ask.amount, msgspec.json.encode(CONTEXT)))
    connection.end_turn()
    return [word_of(future.exception() or future.result()) for future in futures]


def word_of(reply: Any) -> tuple[str, int | None]:
    """Return the status or the first word of an error, and what is available."""
    if isinstance(reply, Exception):
        return str(reply).split()[0], None
    return reply[0].decode(), int(reply[2]) if len(reply) > 2 else None


def _record(charge: Charge) -> SpoolRecord:
    event = usage_event(charge.event_id, charge.amount, held=charge.held, org=charge.org, key=charge.key)
    return SpoolRecord(charge.event_id.hex, charge.org, SHARD, charge.key, charge.amount, charge.held, msgspec.json.encode(event), None)


# --- one by one, and what comes of it ---

OTHER, POOR = ORG + 1, ORG + 2


def open_shard(shard: Shard, *rules: live.KeyScope, balance: int = 10_000, orgs: Sequence[int] = (ORG, OTHER, POOR)) -> None:
    live.begin_epoch(
        shard=SHARD,
        balances=[live.BalanceSeed(org, balance, 0) for org in orgs],
        key_scopes=[live.KeySeed(rule, 0, 0, 0, 0) for rule in rules or (scope(KEY, limit=5_000, reset="daily"), scope(KEY + 1))],
    )


def held(shard: Shard, amount: int, charge: int, *, org: int = ORG, key: int = KEY, at_ms: int | None = None) -> Charge:
    """Hold an amount for a request that will be charged ``charge``."""
    event_id = new_id(at_ms=at_ms)
    assert shard.reserve(event_id, amount, org=org, keys=(key,), force=True) == "OK"
    return Charge(event_id, charge, amount, org, key)


def contents(store: redis.Redis) -> dict[str, Any]:
    """Return all that the store has, of a stream everything but the ids, which are the clock's."""
    found: dict[str, Any] = {}
    for name in sorted(store.keys("{s*")):
        kind = store.type(name)
        if kind == b"hash":
            found[name.decode()] = store.hgetall(name)
        elif kind == b"zset":
            found[name.decode()] = store.zrange(name, 0, -1, withscores=True)
        elif kind == b"stream":
            found[name.decode()] = [fields for _, fields in store.xrange(name)]
        elif kind == b"set":
            found[name.decode()] = store.smembers(name)
    return found


def settle_alone(shard: Shard, charge: Charge) -> str:
    try:
        return shard.settle(charge.event_id, charge.amount, held=charge.held, org=charge.org, keys=(charge.key,))
    except redis.ResponseError as error:
        return str(error).split()[0]


def save(shard: Shard) -> dict[bytes, bytes]:
    return {name: shard.store.dump(name) for name in shard.store.keys("{s*")}


def put_back(shard: Shard, saved: dict[bytes, bytes]) -> None:
    shard.store.delete(*shard.store.keys("{s*"))
    for name, dump in saved.items():
        shard.store.restore(name, 0, dump)


def places_by_group(requests: Sequence[Charge | Ask]) -> list[int]:
    """Return the order in which the store takes them: group by group, in each as they came."""
    groups: dict[tuple[int, int], list[int]] = {}
    for place, request in enumerate(requests):
        groups.setdefault((request.org, request.key), []).append(place)
    return [place for places in groups.values() for place in places]


def reserve_alone(shard: Shard, ask: Ask) -> tuple[str, int | None]:
    try:
        return word_of(shard.reserve_reply(ask.event_id, ask.amount, org=ask.org, keys=(ask.key,)))
    except redis.ResponseError as error:
        return word_of(error)
