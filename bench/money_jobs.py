"""What the money benchmark runs in processes of their own, under Django's settings: ``python -m bench.money_jobs JOB …``, JSON out."""

import asyncio
import json
import os
import sys
import tempfile
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import django
import msgspec
import uuid_utils

from billing.authorizer.holds import Holds
from billing.authorizer.keys import close_keys
from billing.authorizer.scripts import SETTLE
from billing.authorizer.types import HoldContext
from billing.types import AttemptRecord, UsageEvent

if TYPE_CHECKING:
    from accounts.types import Caller

ORGANIZATIONS, SHARDS = 200, 4
_CREDIT_NANOS = 10_000 * 1_000_000_000
_HOLD_NANOS = 1_000_000
_PIPELINE = 500
_PATIENCE_S = 10.0  # a disk that stands still is to show in the waits, and not to end the run
_MODELS = ("openai/gpt-4o-mini", "mistralai/mistral-large-2512", "anthropic/claude-sonnet-4.5", "google/gemini-2.5-flash")
_PROVIDERS = ("openai", "mistral", "anthropic", "google-ai-studio")
_CONTEXT: dict[str, Any] = {
    "requested_model": "auto",
    "provider_name": "Provider",
    "price_version_id": 1,
    "api_type": "completions",
    "user_agent": "OpenAI/Python 2.9.0",
}


def seed() -> list[dict[str, int]]:
    """Make organizations with credit, one key each, over a few shards, open for spending. Return their callers' numbers."""
    from accounts import api_keys, organizations  # noqa: PLC0415 -- after django.setup()
    from accounts.models import User  # noqa: PLC0415
    from billing.books import rebuild, transfers  # noqa: PLC0415

    owner = User.objects.create_user("bench@example.com", "not-used-anywhere")
    callers = []
    for number in range(ORGANIZATIONS):
        organization = organizations.create(name=f"Bench {number}", owner=owner, shard=number % SHARDS)
        transfers.grant(organization=organization, amount_nanos=_CREDIT_NANOS, reason="Benchmark", idempotency_key="bench", by=None)
        key, _ = api_keys.create(organization=organization, name="Bench", by=owner)
        callers.append({"org_id": organization.pk, "shard": organization.shard, "key_id": key.pk})
    for shard in range(SHARDS):
        rebuild.rebuild_shard(shard=shard)
    return callers


def settle(count: int, callers: list[dict[str, int]]) -> dict[str, float]:
    """Put ``count`` settled requests on the streams, then book them as a worker does. Return how many a second."""
    from billing.books import settlement  # noqa: PLC0415
    from billing.live.store import store  # noqa: PLC0415
    from gateway.celery import collect_rarely  # noqa: PLC0415

    collect_rarely()
    store().script_load(SETTLE.text)
    pipe = store().pipeline(transaction=False)
    for number in range(count):
        event = _event(callers[number % len(callers)], number, event_id=uuid.UUID(int=uuid_utils.uuid7().int))
        args = ["", event.org_id, event.event_id.hex, event.amount_nanos, event.key_id, msgspec.json.encode(event), event.hold_nanos, 0, 1]
        keys = close_keys(event.shard, event.org_id, (event.key_id,))
        pipe.evalsha(SETTLE.sha, len(keys), *keys, *args)
        if number % _PIPELINE == _PIPELINE - 1:
            pipe.execute()
    pipe.execute()
    began_s, began_cpu_s = time.perf_counter(), time.process_time()
    booked = settlement.settle_due()
    took_s, cpu_s = time.perf_counter() - began_s, time.process_time() - began_cpu_s
    return {"events": booked, "per_s": booked / took_s, "cpu_us": cpu_s / booked * 1e6}


def _event(caller: dict[str, int], number: int, *, event_id: uuid.UUID) -> UsageEvent:
    amount_nanos = 7_500 + number % 1_000
    provider, model = _PROVIDERS[number % 4], _MODELS[number % 4]
    return UsageEvent(
        event_id=event_id,
        **caller,
        amount_nanos=amount_nanos,
        amount_picos=amount_nanos * 1000,
        cost_nanos=amount_nanos,
        hold_nanos=_HOLD_NANOS,
        status="ok",
        model=model,
        provider=provider,
        endpoint_id=f"{model}@{provider}",
        meters={"input_tokens": 100, "output_tokens": 50 + number % 7},
        started_at_ms=time.time_ns() // 1_000_000,
        latency_ms=120,
        generation_ms=900,
        finish_reason="stop",
        native_finish_reason="stop",
        upstream_id=f"chatcmpl-{number:024d}",
        attempts=(AttemptRecord(endpoint_id=f"{model}@{provider}", provider=provider, status=200, latency_ms=120),),
        **_CONTEXT,
    )


async def admit(seconds: float, tasks: int, callers: list[dict[str, int]], *, leases: bool) -> dict[str, float]:
    """Hold and settle in ``tasks`` loops, as a gateway process does. Return admissions a second and their times in microseconds."""
    from psycopg_pool import AsyncConnectionPool  # noqa: PLC0415

    from accounts.types import Caller  # noqa: PLC0415
    from billing.authorizer.connection import MoneyConnection  # noqa: PLC0415
    from billing.authorizer.loader import ScopeLoader  # noqa: PLC0415
    from billing.authorizer.spool import Spool  # noqa: PLC0415

    connection = MoneyConnection(os.environ["REDIS_URL"], timeout_s=_PATIENCE_S)
    await connection.start()
    with tempfile.TemporaryDirectory() as folder:
        async with AsyncConnectionPool(os.environ["DATABASE_URL"], min_size=1, max_size=2, open=False) as pool:
            holds = Holds(connection, spool=Spool(Path(folder)), loader=ScopeLoader(pool, connection), leases=leases)
            await holds.start()
            known = [Caller(key_hash="0" * 64, **caller) for caller in callers]
            for caller in known:  # everybody's balance and key are loaded before the clock runs
                await _admit_one(holds, caller, 0)
            waits_s: list[float] = []
            began_s = time.perf_counter()
            await asyncio.gather(*(_admit_until(holds, known[task::tasks], began_s + seconds, waits_s) for task in range(tasks)))
            took_s = time.perf_counter() - began_s
            await holds.close()
    await connection.close()
    times_us = sorted(wait_s * 1e6 for wait_s in waits_s)
    return {"per_s": len(times_us) / took_s, "p50_us": times_us[len(times_us) // 2], "p99_us": times_us[len(times_us) * 99 // 100]}


async def _admit_until(holds: Holds, callers: "list[Caller]", until_s: float, waits_s: list[float]) -> None:
    number = 0
    while time.perf_counter() < until_s:
        waits_s.append(await _admit_one(holds, callers[number % len(callers)], number))
        number += 1


async def _admit_one(holds: Holds, caller: "Caller", number: int) -> float:
    """Hold, then settle. Return how long the hold took, seconds: its event is made after it, as a gateway makes it after the answer."""
    began_s = time.perf_counter()
    provider, model = _PROVIDERS[number % 4], _MODELS[number % 4]
    context = HoldContext(
        model=model, provider=provider, endpoint_id=f"{model}@{provider}", started_at_ms=time.time_ns() // 1_000_000, **_CONTEXT
    )
    event_id = uuid.UUID(int=uuid_utils.uuid7().int)
    hold = await holds.reserve(event_id=event_id, caller=caller, amount_nanos=_HOLD_NANOS, context=context)
    wait_s = time.perf_counter() - began_s
    await asyncio.sleep(0)  # no provider answers within the turn in which it is asked
    numbers = {"org_id": caller.org_id, "shard": caller.shard, "key_id": caller.key_id}
    holds.settle(hold, _event(numbers, number, event_id=event_id))
    return wait_s


def main(job: str, *arguments: str) -> object:
    """Do a job: ``seed``, ``settle COUNT`` or ``admit SECONDS TASKS [leases]``; the callers come by standard input."""
    django.setup()
    if job == "seed":
        return seed()
    callers = json.load(sys.stdin)
    if job == "settle":
        return settle(int(arguments[0]), callers)
    import uvloop  # noqa: PLC0415

    return uvloop.run(admit(float(arguments[0]), int(arguments[1]), callers, leases=arguments[2] == "leases"))


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:])))
