"""One gateway process of the stress: many tasks hold and settle as fast as they can until standard input ends. Prints a JSON report.

Arguments: folder of its spool, organization, key, shard, number of tasks, seed, how many times a lease must be free (0: as in
production). The stores are those of the environment.
"""

import asyncio
import json
import os
import random
import sys
import time
import uuid
from pathlib import Path

import uvloop
from psycopg_pool import AsyncConnectionPool
from uuid_utils import uuid7

from accounts.types import Caller
from billing.authorizer import leases
from billing.authorizer.connection import MoneyConnection, MoneyStoreDown
from billing.authorizer.holds import Holds, InsufficientCredit
from billing.authorizer.loader import ScopeLoader
from billing.authorizer.spool import Spool
from billing.authorizer.types import HoldContext
from billing.types import UsageEvent

HOLD_MIN_NANOS, HOLD_MAX_NANOS = 200_000, 2_000_000
_OVERRUN_SHARE = 0.02
_CONTEXT = {
    "model": "acme/large",
    "requested_model": "acme/large",
    "provider": "acme",
    "provider_name": "Acme",
    "endpoint_id": "acme/large@acme",
    "price_version_id": 1,
    "api_type": "completions",
}


class Spender:
    """The tasks of one process and what they saw. Amounts in nanos."""

    def __init__(self, holds: Holds, caller: Caller, seed: int) -> None:
        self.holds, self.caller, self.random = holds, caller, random.Random(seed)
        self.stopping = asyncio.Event()
        self.report = {"settled": 0, "charged": 0, "overrun": 0, "refused": 0, "false_refusals": 0, "unavailable": 0, "drawn": 0}
        self._draw, holds._leases.draw = holds._leases.draw, self._count_draw
        self.waits_s: list[float] = []

    def _count_draw(self, hold) -> bool:
        is_drawn = self._draw(hold)
        self.report["drawn"] += is_drawn
        return is_drawn

    async def spend(self) -> None:
        """Send requests one after the other."""
        while not self.stopping.is_set():
            amount_nanos = self.random.randint(HOLD_MIN_NANOS, HOLD_MAX_NANOS)
            began_s = time.perf_counter()
            try:
                hold = await self.holds.reserve(
                    event_id=uuid.UUID(int=uuid7().int),
                    caller=self.caller,
                    amount_nanos=amount_nanos,
                    context=HoldContext(**_CONTEXT, started_at_ms=time.time_ns() // 1_000_000),
                )
            except InsufficientCredit as error:
                self.report["refused"] += 1
                # The refusal tells what was available in the same atomic step.
                self.report["false_refusals"] += error.available_nanos >= amount_nanos
                await asyncio.sleep(self.random.uniform(0.01, 0.05))
                continue
            except MoneyStoreDown:
                self.report["unavailable"] += 1
                await asyncio.sleep(0.05)
                continue
            self.waits_s.append(time.perf_counter() - began_s)
            await asyncio.sleep(self.random.uniform(0, 0.02))
            self._settle(hold, amount_nanos)

    def _settle(self, hold, amount_nanos: int) -> None:
        cost = self.random.randint(0, amount_nanos)
        if self.random.random() < _OVERRUN_SHARE:
            cost = amount_nanos + self.random.randint(1, amount_nanos // 5)  # the provider counted more than the bound allowed for
        self.report["settled"] += 1
        self.report["charged"] += cost
        self.report["overrun"] += max(0, cost - amount_nanos)
        event = UsageEvent(
            event_id=hold.event_id,
            org_id=self.caller.org_id,
            shard=self.caller.shard,
            key_id=self.caller.key_id,
            amount_nanos=cost,
            amount_picos=cost * 1000,
            cost_nanos=cost,
            hold_nanos=amount_nanos,
            status="ok",
            meters={},
            started_at_ms=hold.context.started_at_ms,
            **_CONTEXT,
        )
        self.holds.settle(hold, event)


async def main(arguments: list[str]) -> None:
    """Spend until standard input ends."""
    folder, *numbers = arguments
    org, key, shard, tasks, seed, margin = map(int, numbers)
    if margin:
        leases._MARGIN = margin
    connection = MoneyConnection(os.environ["REDIS_URL"], timeout_s=5.0)
    await connection.start()
    async with AsyncConnectionPool(os.environ["DATABASE_URL"], min_size=1, max_size=2, open=False) as pool:
        holds = Holds(connection, spool=Spool(Path(folder)), loader=ScopeLoader(pool, connection))
        await holds.start()
        caller = Caller(key_hash="0" * 64, key_id=key, org_id=org, shard=shard)
        spender = Spender(holds, caller, seed)
        running = [asyncio.create_task(spender.spend()) for _ in range(tasks)]
        await asyncio.to_thread(sys.stdin.read)
        spender.stopping.set()
        await asyncio.gather(*running)
        while spender.holds._spool.unsettled:  # noqa: ASYNC110 -- nobody announces it
            await asyncio.sleep(0.05)
        await holds.close()
    await connection.close()
    waits_us = sorted(round(wait * 1e6) for wait in spender.waits_s) or [0]
    print(json.dumps({**spender.report, "p50_us": waits_us[len(waits_us) // 2]}), flush=True)  # noqa: T201 -- its answer


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1:]))
