"""Leases: money that a gateway has set aside for a busy key, so that the key's requests need not wait for the store.

A lease is a hold like any other. A request that it covers begins at once, and is told to the store in the same turn of the loop, which
moves its part from the lease's hold to one of its own: no sum changes, so what is held is always enough, however many gateways there
are. Leases are only given where fifty times as much is free, so that the end of a balance or of a limit is always exact; they are given
back when their key falls silent, when another request of the organization would be refused for want of money, and after some seconds
in any case. A gateway that dies leaves them to the reaper.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import msgspec
import uuid_utils

from billing.authorizer.connection import Arg, MoneyConnection, MoneyStoreDown
from billing.authorizer.keys import hold_keys
from billing.authorizer.scripts import DRAW, LEASE, RELEASE

if TYPE_CHECKING:
    from accounts.types import Caller
    from billing.authorizer.types import Hold

logger = logging.getLogger(__name__)

# In place of a request's context. The reaper gives such a hold back; nothing is booked.
LEASE_MARK: Final = b'"lease"'
SWEEP_S: Final = 0.25
_BUSY_REQUESTS: Final = 5  # of a key between two sweeps; one that is less busy waits for the store, and sees every switch at once
_SWEEPS_AHEAD: Final = 2  # a lease is for as much as was asked for in so many
_MARGIN: Final = 50
_REST_S: Final = 1.0  # after a refusal
_AGE_MAX_S: Final = 5.0  # far below a hold's time to live, so that a lease needs no heartbeat
_DRAWN_MAX: Final = 100  # in one script
_AMOUNT_MAX_NANOS: Final = 2**55

Lost = Callable[[], None]
NoteEpoch = Callable[[int, bytes], None]


class Lease:
    """One hold for requests to come. ``left_nanos`` is what nobody has drawn, ``told_nanos`` what the store has been told is left."""

    __slots__ = ("account", "began_s", "event", "left_nanos", "shard", "size_nanos", "told_nanos", "told_s", "waiting")

    def __init__(self, account: "_Account", *, shard: int, event: str, amount_nanos: int) -> None:
        self.account = account
        self.shard = shard
        self.event = event  # 32 hex digits
        self.size_nanos = self.left_nanos = self.told_nanos = amount_nanos
        self.began_s = self.told_s = time.monotonic()
        self.waiting: list[tuple[Hold, bytes]] = []  # requests that draw from it in this turn, and their contexts as JSON


class _Account:
    """What one key has asked for since the last sweep, and its leases: the one in use, and the one that comes after it."""

    __slots__ = ("asked_nanos", "before_nanos", "caller", "following", "is_asking", "lease", "requests", "rests_until_s")

    def __init__(self, caller: "Caller") -> None:
        self.caller = caller
        self.requests = 0
        self.asked_nanos = self.before_nanos = 0
        self.lease: Lease | None = None
        self.following: Lease | None = None
        self.is_asking = False
        self.rests_until_s = 0.0


class Leases:
    """The leases of one gateway process. ``lost`` is called when the store may not know of requests that run."""

    def __init__(self, connection: MoneyConnection, *, ttl_ms: int, lost: Lost, note_epoch: NoteEpoch, is_on: bool = True) -> None:
        self._connection = connection
        self._is_on = is_on
        self._ttl_ms = ttl_ms
        self._quiet_max_s = ttl_ms / 2000  # half a hold's time to live: nobody else has been given the money yet
        self._lost = lost
        self._note_epoch = note_epoch
        self._accounts: dict[int, _Account] = {}
        self._due: list[Lease] = []
        self._owed: dict[str, Lease] = {}  # given back while the store could not be told
        self.given_back = 0  # how many leases ever were
        connection.before_flush(self._send)
        connection.on_new_run(lambda _run_id: self._forget_all())

    async def run(self) -> None:
        """Sweep until cancelled."""
        while True:
            await asyncio.sleep(SWEEP_S)
            try:
                self.sweep()
            except Exception:
                logger.exception("lease_sweep_failed")

    def close(self) -> None:
        """Give everything back."""
        for account in self._accounts.values():
            self._give_back(account)
        self._accounts.clear()

    def draw(self, hold: "Hold") -> bool:
        """Take the hold out of its key's lease, if that covers it. The store is told in this turn of the loop."""
        if not self._is_on:
            return False
        caller, amount_nanos = hold.caller, hold.amount_nanos
        account = self._accounts.get(caller.key_id)
        if account is None:
            account = self._accounts[caller.key_id] = _Account(caller)
        account.caller = caller  # it may have moved
        account.requests += 1
        account.asked_nanos += amount_nanos
        lease = self._usable(account, amount_nanos)
        if lease is None:
            return False
        lease.left_nanos -= amount_nanos
        if not lease.waiting:
            self._due.append(lease)
        lease.waiting.append((hold, msgspec.json.encode(hold.context)))
        self._connection.gather(is_awaited=False)
        return True

    def _usable(self, account: _Account, amount_nanos: int) -> Lease | None:
        """Return the lease that covers the amount, and ask for another one in time."""
        lease, now_s = account.lease, time.monotonic()
        # A process that stood still does not know whether the reaper has given its lease to others.
        if lease is None or not self._connection.connected or now_s - lease.told_s > self._quiet_max_s:
            return None
        if lease.shard != account.caller.shard:
            self._give_back(account)
            return None
        is_short = amount_nanos > lease.left_nanos
        following = account.following
        if following is None:
            is_half_gone = (lease.left_nanos - amount_nanos) * 2 < lease.size_nanos
            if (is_short or is_half_gone) and not account.is_asking and now_s >= account.rests_until_s:
                self._ask(account)
            return None if is_short else lease
        if not is_short:
            return lease
        if amount_nanos > following.left_nanos:
            return None
        self._follow(account)
        return following

    def give_back(self, caller: "Caller", *, key_only: bool = False) -> None:
        """Give back what the organization's keys, or this one, have here. ``given_back`` tells whether that was anything."""
        if key_only:
            own = self._accounts.get(caller.key_id)
            accounts = [] if own is None else [own]
        else:
            accounts = [one for one in self._accounts.values() if one.caller.org_id == caller.org_id]
        for account in accounts:
            if account.lease is not None or account.is_asking:
                self._give_back(account)
                self._rest(account)

    def sweep(self) -> None:
        """Ask for leases where keys are busy, and give those back that nobody needs or that are old."""
        now_s = time.monotonic()
        if self._owed and self._connection.connected:
            owed, self._owed = self._owed, {}
            for one in owed.values():
                self._release(one)
        for key_id, account in list(self._accounts.items()):
            requests, account.before_nanos = account.requests, account.asked_nanos
            account.requests = account.asked_nanos = 0
            lease = account.lease
            if not requests:
                self._give_back(account)
                if not account.is_asking and now_s >= account.rests_until_s:
                    del self._accounts[key_id]
            elif lease is not None and now_s - lease.began_s >= _AGE_MAX_S and not account.is_asking:
                if account.following is not None or now_s < account.rests_until_s:
                    self._follow(account)
                else:
                    self._ask(account)
            elif lease is None and requests >= _BUSY_REQUESTS and not account.is_asking and now_s >= account.rests_until_s:
                self._ask(account)

    # --- one lease ---

    def _ask(self, account: _Account) -> None:
        caller = account.caller
        amount_nanos = _SWEEPS_AHEAD * max(account.before_nanos, account.asked_nanos)
        if amount_nanos > _AMOUNT_MAX_NANOS or not self._connection.connected:
            return
        lease = Lease(account, shard=caller.shard, event=uuid_utils.uuid7().hex, amount_nanos=amount_nanos)
        account.is_asking = True
        margin_nanos = _MARGIN * amount_nanos
        self._connection.post_script(
            LEASE,
            hold_keys(caller.shard, caller.org_id, (caller.key_id,)),
            (
                *(self._connection.run_id, caller.org_id, lease.event, amount_nanos, self._ttl_ms, caller.key_id),
                *(margin_nanos, margin_nanos - amount_nanos, LEASE_MARK),
            ),
            lambda reply, error: self._answered(lease, reply, error),
        )

    def _answered(self, lease: Lease, reply: Any, error: Exception | None) -> None:
        account = lease.account
        account.is_asking = False
        if error is not None:
            self._release(lease)  # it may be there
        if error is not None or reply[0] != b"OK":
            self._rest(account)
        elif self._accounts.get(account.caller.key_id) is not account or account.rests_until_s > time.monotonic():
            self._release(lease)  # not wanted any more
        elif account.lease is None:
            account.lease = lease
        else:
            account.following = lease

    def _follow(self, account: _Account) -> None:
        """Give the present lease back and go on with the following one, if there is one."""
        before, account.lease, account.following = account.lease, account.following, None
        if before is not None:
            self._release(before)

    def _give_back(self, account: _Account) -> None:
        self._follow(account)
        self._follow(account)

    def _rest(self, account: _Account) -> None:
        account.rests_until_s = time.monotonic() + _REST_S

    def _release(self, lease: Lease) -> None:
        self._send_draws(lease)  # what was drawn is not to be given back
        self.given_back += 1
        caller = lease.account.caller
        keys = hold_keys(lease.shard, caller.org_id, (caller.key_id,))
        self._connection.post_script(RELEASE, keys, (self._connection.run_id, caller.org_id, lease.event), partial(self._released, lease))

    def _released(self, lease: Lease, _reply: Any, error: Exception | None) -> None:
        if isinstance(error, MoneyStoreDown):
            self._owed[lease.event] = lease

    def _forget_all(self) -> None:
        """The store has forgotten all holds."""
        self._owed.clear()
        for account in self._accounts.values():
            account.lease = account.following = None

    # --- telling the store ---

    def _send(self) -> None:
        if not self._due:
            return
        due, self._due = self._due, []
        for lease in due:
            self._send_draws(lease)

    def _send_draws(self, lease: Lease) -> None:
        waiting, lease.waiting = lease.waiting, []
        for start in range(0, len(waiting), _DRAWN_MAX):
            self._send_part(lease, waiting[start : start + _DRAWN_MAX])

    def _send_part(self, lease: Lease, asked: "list[tuple[Hold, bytes]]") -> None:
        caller = lease.account.caller
        before_nanos, lease.told_s = lease.told_nanos, time.monotonic()
        lease.told_nanos = before_nanos - sum([hold.amount_nanos for hold, _ in asked])
        args: list[Arg] = [self._connection.run_id, self._ttl_ms, caller.org_id, caller.key_id, lease.event, before_nanos, lease.told_nanos]
        for hold, context in asked:
            args += (hold.event, hold.amount_nanos, context)
        self._connection.post_script(
            DRAW,
            hold_keys(lease.shard, caller.org_id, (caller.key_id,)),
            args,
            lambda reply, error: self._drawn(lease, reply, error),
            requests=len(asked),
        )

    def _drawn(self, lease: Lease, reply: Any, error: Exception | None) -> None:
        status = None if error is not None else reply[0]
        if status in (b"OK", b"STOP"):
            self._note_epoch(lease.shard, reply[1])
        if status == b"OK":
            return
        account = lease.account
        self._rest(account)
        if account.lease is lease:
            self._give_back(account)
        if status != b"STOP":
            # The requests run already: their holds are asserted as after a rebuild of the store.
            logger.warning("lease_lost lease=%s reason=%s", lease.event, error or status)
            self._lost()
