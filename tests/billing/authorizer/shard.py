"""A shard of the real money store, with the scripts as methods, and the parts of a data plane around it."""

import datetime as dt
import time
import uuid
from typing import Any

import msgspec
import redis
from uuid_utils import uuid7

from accounts.types import Caller
from billing import live
from billing.authorizer import scripts
from billing.authorizer.keys import close_keys, hold_keys, shard_keys
from billing.authorizer.leases import LEASE_MARK
from billing.authorizer.periods import periods_at
from billing.authorizer.types import Hold, HoldContext
from billing.live.store import run
from billing.types import UsageEvent

ORG, KEY, SHARD = 5, 7, 3
CALLER = Caller(key_hash="0" * 64, key_id=KEY, org_id=ORG, shard=SHARD)
CONTEXT = HoldContext(
    model="maker/model",
    requested_model="maker/model",
    provider="provider",
    provider_name="Provider",
    endpoint_id="provider/model",
    price_version_id=11,
    api_type="completions",
    started_at_ms=1_700_000_000_000,
    external_user="with spaces and {braces} ü",
)
MS_PER_DAY = 86_400_000


def new_id(*, at_ms: int | None = None) -> uuid.UUID:
    """Return a UUIDv7 of now, or of another moment."""
    fresh = uuid7().int
    return uuid.UUID(int=fresh if at_ms is None else (at_ms << 80) | (fresh & ((1 << 80) - 1)))


def scope(
    key_id: int = KEY,
    *,
    version: int = 1,
    limit: int | None = None,
    reset: str = "",
    disabled: bool = False,
    expires_at_s: int | None = None,
):
    return live.KeyScope(key_id, version, limit, reset, disabled, expires_at_s)


def usage_event(event_id: uuid.UUID, amount: int, *, held: int = 0, org: int = ORG, key: int = KEY, shard: int = SHARD) -> UsageEvent:
    return UsageEvent(
        event_id=event_id,
        org_id=org,
        shard=shard,
        key_id=key,
        amount_nanos=amount,
        amount_picos=amount * 1000,
        cost_nanos=amount,
        hold_nanos=held,
        status="ok",
        api_type="completions",
        model="maker/model",
        requested_model="maker/model",
        provider="provider",
        provider_name="Provider",
        endpoint_id="provider/model",
        price_version_id=11,
        meters={"input_tokens": 3},
        started_at_ms=event_id.int >> 80,
    )


def event_of(hold: Hold, amount: int) -> UsageEvent:
    caller = hold.caller
    return usage_event(hold.event_id, amount, held=hold.amount_nanos, org=caller.org_id, key=caller.key_id, shard=caller.shard)


class Shard:
    """One shard with one organization and one key. Methods named like scripts return their status as text."""

    def __init__(self, store: redis.Redis, number: int = SHARD) -> None:
        self.store = store
        self.number = number
        self.keys = shard_keys(number)

    def open(self, balance: int = 0, *, seq: int = 0, key: live.KeyScope | None = None, orgs: dict[int, int] | None = None) -> int:
        """Begin an epoch with ORG at ``balance`` and KEY unlimited unless told otherwise."""
        balances = {ORG: balance} if orgs is None else orgs
        return live.begin_epoch(
            shard=self.number,
            balances=[live.BalanceSeed(org, nanos, seq) for org, nanos in balances.items()],
            key_scopes=[live.KeySeed(key or scope(), 0, 0, 0, 0)],
        )

    def reserve(self, event_id: uuid.UUID, amount: int, *, org: int = ORG, keys: tuple[int, ...] = (KEY,), force: bool = False) -> str:
        return self.reserve_reply(event_id, amount, org=org, keys=keys, force=force)[0].decode()

    def reserve_reply(
        self, event_id: uuid.UUID, amount: int, *, org: int = ORG, keys: tuple[int, ...] = (KEY,), ttl_ms: int = 30_000, force: bool = False
    ):
        ids = ",".join(str(key) for key in keys)
        args = ["", org, event_id.hex, amount, ttl_ms, int(force), ids, msgspec.json.encode(CONTEXT)]
        return run(scripts.RESERVE, hold_keys(self.number, org, keys), args)

    def extend(self, event_id: uuid.UUID, old: int, by: int, *, org: int = ORG, keys: tuple[int, ...] = (KEY,)) -> str:
        args = ["", org, event_id.hex, old, old + by, by, 30_000]
        return run(scripts.EXTEND, hold_keys(self.number, org, keys), args)[0].decode()

    def heartbeat(self, spent: dict[uuid.UUID, int], *, org: int = ORG, ttl_ms: int = 30_000) -> list[Any]:
        args: list[Any] = ["", ttl_ms]
        for event_id, nanos in spent.items():
            args += [org, event_id.hex, nanos]
        return run(scripts.HEARTBEAT, [self.keys.epoch, self.keys.deadlines, *[f"{self.keys.holds}{org}" for _ in spent]], args)

    def lease(self, event_id: uuid.UUID, amount: int, *, margin: int, org: int = ORG, key: int = KEY) -> str:
        args = ["", org, event_id.hex, amount, 30_000, key, margin, margin - amount, LEASE_MARK]
        return run(scripts.LEASE, hold_keys(self.number, org, (key,)), args)[0].decode()

    def draw(self, lease: uuid.UUID, left: int, asked: dict[uuid.UUID, int], *, org: int = ORG, key: int = KEY) -> str:
        """Draw from a lease that has so much left."""
        args: list[Any] = ["", 30_000, org, key, lease.hex, left, left - sum(asked.values())]
        for event_id, nanos in asked.items():
            args += [event_id.hex, nanos, msgspec.json.encode(CONTEXT)]
        return run(scripts.DRAW, hold_keys(self.number, org, (key,)), args)[0].decode()

    def release(self, event_id: uuid.UUID, *, org: int = ORG, keys: tuple[int, ...] = (KEY,)) -> str:
        return run(scripts.RELEASE, hold_keys(self.number, org, keys), ["", org, event_id.hex])[0].decode()

    def settle(
        self, event_id: uuid.UUID, amount: int, *, held: int = 0, org: int = ORG, keys: tuple[int, ...] = (KEY,), late: bool = False
    ) -> str:
        json = msgspec.json.encode(usage_event(event_id, amount, held=held, org=org, key=keys[0], shard=self.number))
        args = ["", org, event_id.hex, amount, ",".join(map(str, keys)), json, held, held - amount, int(late)]
        return run(scripts.SETTLE, close_keys(self.number, org, keys), args)[0].decode()

    def balance(self, org: int = ORG) -> tuple[int, int, int]:
        """Return avail, held, unposted."""
        known = live.read_balance(org_id=org, shard=self.number)
        assert known is not None
        return known[:3]

    def key(self, key: int = KEY) -> live.LiveKeyUsage:
        return live.read_key_usage(shard=self.number, key_ids=[key])[key]

    def stored_free(self, key: int = KEY) -> int:
        return int(self.store.hget(f"{self.keys.scope}{key}", "free"))

    def everything(self) -> dict[str, Any]:
        """Return the shard's money and holds, to compare before and after."""
        found: dict[str, Any] = {}
        for name in sorted(self.store.keys(f"{{s{self.number:03d}}}:*")):
            kind = self.store.type(name)
            if kind == b"hash":
                found[name.decode()] = self.store.hgetall(name)
            elif kind == b"zset":
                found[name.decode()] = self.store.zrange(name, 0, -1)
            elif kind == b"stream":
                found[name.decode()] = self.store.xlen(name)
        return found

    def entries(self) -> list[live.StreamEntry]:
        return live.read_batch(shard=self.number)

    def move_periods_back(self, days: int, key: int = KEY) -> None:
        """Make the key's counters stand where they stood ``days`` ago, as if nobody had called since."""
        at = periods_at(int(time.time()) - days * 86_400)
        self.store.hset(f"{self.keys.scope}{key}", mapping={"day": at.day, "week": at.week, "month": at.month})


def today_ms() -> int:
    """Return noon of today, UTC, or now if that is earlier: a moment that is surely today."""
    now = time.time_ns() // 1_000_000
    return min(now, now // MS_PER_DAY * MS_PER_DAY + MS_PER_DAY // 2)


def date_ms(date: dt.date) -> int:
    return int(dt.datetime.combine(date, dt.time(12), tzinfo=dt.UTC).timestamp() * 1000)
