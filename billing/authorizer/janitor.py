"""The spool's janitor: repeats settlements until the books have the event, and clears away what they have.

Order of trust: the store confirmed it in the present epoch → it is on the stream. The books have it → done. The store still has the
hold → nobody charged it yet, so repeating is exact. Otherwise it is charged again without a hold, and the books, which know every
event by its id, give a double charge back.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol

from accounts.types import InvalidKey
from billing.authorizer.connection import MoneyStoreDown, MoneyStoreError
from billing.authorizer.loader import Batch, Compared, MovedAway, ScopeLoader
from billing.authorizer.spool import Spool
from billing.authorizer.types import Segment, SpoolRecord

logger = logging.getLogger(__name__)

_TICK_S = 1.0
_ROTATE_AFTER_S = 30.0
_DELETE_AFTER_S = 900.0
_ADOPT_EVERY_S = 30.0
_REVIEW_AFTER_S = 5.0
_REVIEWS_PER_TICK = 4
_RESENDS_PER_TICK = 2_000
_BOOKED_CHUNK = 1_000
# An unconfirmed call is repeated after this; the connection's own time-out is shorter.
_RESEND_AFTER_S = 0.5


class Resend(Protocol):
    """How to queue a settlement again."""

    def __call__(self, record: SpoolRecord, *, late: bool) -> None:
        """Queue it; ``late`` also charges when the store has no hold."""


class Janitor:
    """One per spool. ``epochs`` is the live view of each shard's epoch, ``ask_epochs`` brings it up to date for some shards.

    ``late_after_s`` is how long the books get to show an event of which the store has no hold, before it is charged without one.
    """

    def __init__(
        self,
        *,
        spool: Spool,
        loader: ScopeLoader,
        resend: Resend,
        epochs: Mapping[int, int],
        ask_epochs: Callable[[set[int]], Awaitable[None]],
        late_after_s: float = 10.0,
    ) -> None:
        self._spool = spool
        self._loader = loader
        self._resend = resend
        self._epochs = epochs
        self._ask_epochs = ask_epochs
        self._late_after_s = late_after_s
        self._wake = asyncio.Event()
        self._adopted_s = float("-inf")
        self._is_new_epoch = False

    def wake(self) -> None:
        """Something failed or changed: look now."""
        self._wake.set()

    def note_new_epoch(self) -> None:
        """A shard was rebuilt: what it had confirmed may be lost, so look through the segments, the present one too."""
        self._is_new_epoch = True
        self._wake.set()

    def note_refused(self, record: SpoolRecord, status: bytes) -> None:
        """Remember why the store did not take a settlement: GONE, NO_ORG, NO_KEY or EPOCH."""
        record.refused = status
        if status == b"GONE" and record.gone_s is None:
            record.gone_s = time.monotonic()
        self._wake.set()

    async def run(self) -> None:
        """Tick until cancelled."""
        while True:
            try:
                await self.tick()
            except (MoneyStoreDown, MoneyStoreError) as error:
                logger.warning("spool_waits unsettled=%s reason=%s", len(self._spool.unsettled), error)
            except Exception:
                # Must outlive any surprise: nobody else repeats settlements.
                logger.exception("spool_janitor_failed")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_TICK_S):
                    await self._wake.wait()
                # Not at once: what failed a moment ago would fail again.
                await asyncio.sleep(_TICK_S / 10)
            self._wake.clear()

    async def tick(self) -> None:
        """Do everything that is due. Raises: BooksDown, MoneyStoreDown."""
        rotate_after_s = 0.0 if self._is_new_epoch else _ROTATE_AFTER_S
        if self._is_new_epoch:
            # The books may have been restored to an earlier moment: what they had then is asked for once more.
            self._spool.doubt_booked(due_within_s=_REVIEW_AFTER_S)
        self._is_new_epoch = False
        self._spool.keep_house(rotate_after_s=rotate_after_s)
        now_s = time.monotonic()
        if now_s - self._adopted_s >= _ADOPT_EVERY_S:
            self._adopted_s = now_s
            self._spool.adopt()
        await self._repeat()
        await self._review()
        await self._delete_expired()

    async def _repeat(self) -> None:
        now_s = time.monotonic()
        due = [record for record in self._spool.unsettled.values() if now_s - record.sent_s >= _RESEND_AFTER_S][:_RESENDS_PER_TICK]
        await self._load_missing([record for record in due if record.refused in (b"NO_ORG", b"NO_KEY")])
        for record in due:
            if record.gone_s is None:
                self._repeat_one(record, late=False)
        gone = [record for record in due if record.gone_s is not None]
        compared = await self._compare(gone)
        for record in gone:
            if record.event not in compared.missing:
                self._spool.forget(record.event)
            elif record.gone_s is not None and now_s - record.gone_s >= self._late_after_s:
                self._repeat_one(record, late=True)

    def _repeat_one(self, record: SpoolRecord, *, late: bool) -> None:
        record.sent_s = time.monotonic()
        self._resend(record, late=late)

    async def _load_missing(self, records: Sequence[SpoolRecord]) -> None:
        for shard, org_id, key_id in {(record.shard, record.org_id, record.key_id) for record in records}:
            await self._ask_epochs({shard})
            epoch = self._epochs.get(shard)
            if epoch is None:
                continue
            try:
                await self._loader.load_balance(shard=shard, org_id=org_id, epoch=epoch)
                await self._loader.load_key(shard=shard, org_id=org_id, key_id=key_id, epoch=epoch)
            except MovedAway as moved:
                for record in records:
                    if (record.shard, record.org_id) == (shard, org_id):
                        record.shard = moved.shard
            except InvalidKey:
                logger.exception("spool_event_of_unknown_key org=%s key=%s", org_id, key_id)

    async def _delete_expired(self) -> None:
        """Delete the oldest booked segment that has been kept for long enough, if the books have it still.

        They may have been restored to an earlier moment meanwhile: then a segment is what they are made whole from.
        """
        for segment in self._spool.expired(_DELETE_AFTER_S)[:1]:
            if await self._is_witnessed(segment):
                self._spool.delete(segment)
            else:
                segment.is_booked, segment.witness = False, None

    async def _review(self) -> None:
        """Ask the books about whole segments, a few at a time, those not looked at for longest first."""
        now_s = time.monotonic()
        waiting = [s for s in self._spool.closed if not s.is_booked and now_s - s.reviewed_s >= _REVIEW_AFTER_S]
        for segment in sorted(waiting, key=lambda s: s.reviewed_s)[:_REVIEWS_PER_TICK]:
            if len(self._spool.unsettled) > _RESENDS_PER_TICK * 10:
                return
            segment.reviewed_s = now_s
            await self._review_one(segment)

    async def _review_one(self, segment: Segment) -> None:
        if await self._is_witnessed(segment):
            segment.is_booked = True
            return
        records = await self._spool.read(segment)
        missing, batches = await self._compare(records)
        unbooked = [record for record in records if record.event in missing]
        for event in self._spool.unsettled.keys() & {record.event for record in records} - missing:
            self._spool.forget(event)
        if not unbooked:
            segment.is_booked, segment.witness = True, tuple(batches.values())
            return
        await self._ask_epochs({record.shard for record in unbooked})
        confirmed = dict(segment.epochs)
        for record in unbooked:
            if record.event in self._spool.unsettled:
                continue
            before, present = confirmed.get(record.shard), self._epochs.get(record.shard)
            if present is None:
                continue
            if before is None:  # adopted: nobody remembers whether the store took it
                self._spool.claim(record, is_gone=False)
            elif before < present:  # the stream it was on is gone, and what that still had is in the books
                segment.epochs[record.shard] = present
                self._spool.claim(record, is_gone=True)
        self._wake.set()

    async def _is_witnessed(self, segment: Segment) -> bool:
        """Tell whether the books still have what they had when every event of the segment was found in them.

        Each event is compared once. Batches of a shard are booked in order, so those that came last stand for all: books that were
        restored to an earlier moment lack one of them if they lack anything.
        """
        return segment.witness is not None and await self._loader.has_batches(segment.witness)

    async def _compare(self, records: Sequence[SpoolRecord]) -> Compared:
        missing: set[str] = set()
        batches: dict[int, Batch] = {}
        for start in range(0, len(records), _BOOKED_CHUNK):
            some = await self._loader.compare([(r.org_id, r.event) for r in records[start : start + _BOOKED_CHUNK]])
            missing |= some.missing
            for shard, batch in some.batches.items():
                batches[shard] = max(batch, batches.get(shard, batch))
        return Compared(missing, batches)
