"""Statistics on their way between processes: a stream on the broker's Redis that every process writes once a second and follows.

The stream holds the last minutes, so a process that begins knows what the others know. Slots of the long window are kept under keys of
their own by whichever process is first; so are successes and failures by the hour, for the uptime of a day. Nothing here is on a
request's path, and without Redis each process goes on with its own figures.
"""

import asyncio
import logging
import secrets
import time
from collections.abc import Callable
from typing import Any, Final

import msgspec
import redis.asyncio
from redis.exceptions import RedisError

from catalog.measurements import BOARD, Measurement, encode_board
from gateway.relay.balancing import Balancer
from gateway.relay.health import EndpointHealth
from gateway.relay.measuring import measure
from gateway.relay.samples import Bulletin
from gateway.relay.statistics import LONG_SLOT_S, LONG_SLOTS, SHORT_SLOT_S, SHORT_SLOTS
from gateway.relay.tallies import OK, Tally

_log = logging.getLogger(__name__)

STREAM: Final = "tollway:statistics"
_EVERY_S: Final = 1.0
_KEPT_S: Final = LONG_SLOT_S + 60
_PRESENT_EVERY_S: Final = 2.0
_BATCH: Final = 200
_BLOCK_MS: Final = 2_000
_BACKOFF_S: Final = 1.0
_SETTLED_S: Final = 5.0  # after the end of a slot, until every process's part of it has arrived
_SHOWN_EVERY_MS: Final = 2_900
_SHOWN_FOR_S: Final = 60
_HOUR_S: Final = 3_600
_DAY_HOURS: Final = 24

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Bulletin).decode
_decode_slot = msgspec.msgpack.Decoder(dict[str, Tally]).decode


def _slot_key(slot: int) -> str:
    return f"{STREAM}:slot:{slot}"


def _hour_key(hour: int) -> str:
    return f"{STREAM}:hour:{hour}"


class Bulletins:
    """Of one process. ``balancer`` hears what the others have sent and have on their way. ``days`` is endpoint → successes and graded
    requests of the last 24 hours, without the newest minutes.
    """

    def __init__(
        self,
        broker_url: str,
        health: EndpointHealth,
        *,
        balancer: Balancer | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._redis = redis.asyncio.Redis.from_url(broker_url, socket_connect_timeout=1, socket_timeout=5)
        self._statistics = health.statistics
        self._health = health
        self._balancer = balancer
        self._clock = clock
        self._process = secrets.token_hex(4).encode()
        self._last_id = b"0"
        self._told_at_s = 0.0
        self._told_in_flight = False
        self._archived = 0  # newest slot of the long window that needs no archiving by us
        self.days: dict[str, tuple[int, int]] = {}

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()

    async def run_forever(self) -> None:
        """Publish, follow and work out, until cancelled. Survives the loss of Redis."""
        follower = asyncio.create_task(self._follow_forever(), name="statistics-follower")
        try:
            while True:
                try:
                    await self.publish()
                    await self._archive()
                    await self._show()
                    self._statistics.refresh()
                    self._health.forget_old()
                except (RedisError, OSError, TimeoutError) as error:
                    _log.warning("statistics stay in this process: %s", type(error).__name__)
                    self._statistics.refresh()
                except Exception:  # noqa: BLE001 -- one bad second must not end all that follow
                    _log.exception("a second's statistics are lost")
                await asyncio.sleep(_EVERY_S)
        finally:
            follower.cancel()
            await asyncio.gather(follower, return_exceptions=True)

    async def publish(self) -> None:
        """Hand over what was counted since the last call; to this process alone when Redis is away. Raises: RedisError."""
        bulletin = self._statistics.take()
        bulletin.outages, bulletin.cooling = self._health.take_news()
        if self._balancer is not None:
            bulletin.loads, bulletin.in_flight = self._balancer.take_news()
            self._balancer.peers.forget_silent()
        had_in_flight, self._told_in_flight = self._told_in_flight, bool(bulletin.in_flight)
        # A process that has nothing to tell says now and then that it is there: limits are shared by as many as there are.
        is_due = self._balancer is not None and self._clock() >= self._told_at_s + _PRESENT_EVERY_S
        if bulletin.is_empty and not had_in_flight and not is_due:
            return
        self._told_at_s = self._clock()
        oldest_ms = int((self._clock() - _KEPT_S) * 1000)
        try:
            await self._redis.xadd(STREAM, {b"by": self._process, b"all": _encode(bulletin)}, minid=oldest_ms, approximate=True)
        except (RedisError, OSError, TimeoutError):
            self._statistics.merge(bulletin, self._clock())
            raise
        if self._balancer is not None:
            self._balancer.told()

    async def catch_up(self) -> None:
        """Take over what is known from before this process began. Raises: RedisError."""
        now_s = self._clock()
        slot = int(now_s) // LONG_SLOT_S
        slots = range(slot - LONG_SLOTS + 1, slot)
        bodies: list[bytes | None] = await self._redis.mget([_slot_key(one) for one in slots])  # type: ignore[assignment]
        for number, body in zip(slots, bodies, strict=True):
            if body is not None:
                self._statistics.restore(_decode_slot(body), number * LONG_SLOT_S)
        self._archived = slot  # the slot that has begun is only half known here
        since_s = now_s - SHORT_SLOT_S * SHORT_SLOTS
        self._last_id = b"%d" % int(since_s * 1000)
        while await self._read(block_ms=None, long_from_s=slot * LONG_SLOT_S):
            pass
        self._statistics.refresh()
        await self._read_days()

    async def _follow_forever(self) -> None:
        is_begun = False
        while True:
            try:
                if not is_begun:
                    await self.catch_up()
                    is_begun = True
                await self._read(block_ms=_BLOCK_MS)
            except (RedisError, OSError, TimeoutError):
                await asyncio.sleep(_BACKOFF_S)
            except msgspec.MsgspecError:
                _log.exception("a bulletin of another release cannot be read; skipped")
            except Exception:  # noqa: BLE001 -- as above
                _log.exception("a bulletin could not be taken over; skipped")

    async def _read(self, *, block_ms: int | None, long_from_s: float = 0.0) -> int:
        """Merge what is new and return how many bulletins that were."""
        replies: Any = await self._redis.xread({STREAM: self._last_id}, count=_BATCH, block=block_ms)
        entries = replies[0][1] if replies else []
        for entry_id, fields in entries:
            self._last_id = entry_id
            at_s = int(entry_id.partition(b"-")[0]) / 1000
            bulletin = _decode(fields[b"all"])
            self._statistics.merge(bulletin, at_s, is_long=at_s >= long_from_s)
            if fields[b"by"] != self._process:
                self._health.hear(bulletin.outages, bulletin.cooling)
                if self._balancer is not None:
                    self._balancer.hear(fields[b"by"], bulletin.loads, bulletin.in_flight, at_s)
        return len(entries)

    async def _archive(self) -> None:
        """Keep the slot of the long window that has just ended, unless another process has."""
        ended = int(self._clock() - _SETTLED_S) // LONG_SLOT_S - 1
        if not self._archived or ended <= self._archived:
            return
        self._archived = ended
        tallies = self._statistics.long_slot(ended)
        if tallies and await self._redis.set(_slot_key(ended), _encode(tallies), nx=True, ex=LONG_SLOT_S * (LONG_SLOTS + 1)):
            hour = _hour_key(ended * LONG_SLOT_S // _HOUR_S)
            pipeline = self._redis.pipeline(transaction=True)
            for endpoint_id, tally in tallies.items():
                pipeline.hincrby(hour, f"{endpoint_id} ok", tally.outcomes.get(OK, 0))
                pipeline.hincrby(hour, f"{endpoint_id} all", tally.graded)
            pipeline.expire(hour, _HOUR_S * (_DAY_HOURS + 1))
            await pipeline.execute()
        await self._read_days()

    def measure(self, endpoint_id: str) -> Measurement | None:
        """Return what was measured at the endpoint, as it is shown, or None."""
        return measure(self._statistics, self.days, endpoint_id)

    async def _show(self) -> None:
        """Write the board for pages, unless another process has done so lately."""
        if not await self._redis.set(f"{BOARD}:writer", self._process, nx=True, px=_SHOWN_EVERY_MS):
            return
        found = {name: self.measure(name) for name in {*self._statistics.measured, *self.days}}
        board = {name: one for name, one in found.items() if one is not None}
        await self._redis.set(BOARD, encode_board(board), ex=_SHOWN_FOR_S)

    async def _read_days(self) -> None:
        hour = int(self._clock()) // _HOUR_S
        pipeline = self._redis.pipeline(transaction=False)
        for one in range(hour - _DAY_HOURS + 1, hour + 1):
            pipeline.hgetall(_hour_key(one))
        counts: dict[str, list[int]] = {}
        for table in await pipeline.execute():
            for field, count in table.items():
                endpoint_id, _, kind = field.decode().rpartition(" ")
                counts.setdefault(endpoint_id, [0, 0])[kind == "all"] += int(count)
        self.days = {endpoint_id: (ok, graded) for endpoint_id, (ok, graded) in counts.items()}
