import asyncio
import sys
import time
from dataclasses import replace

import pytest
import redis
from django.conf import settings

from catalog.types import Usage
from gateway.relay.balancing import Balancer
from gateway.relay.bulletins import STREAM, Bulletins
from gateway.relay.catalog import Credential
from gateway.relay.health import EndpointHealth
from gateway.relay.samples import Sample
from gateway.relay.statistics import Statistics
from tests.gateway.relay.builders import make_candidate

OTHER_PROCESS = """
import asyncio, sys
from gateway.relay.bulletins import Bulletins
from gateway.relay.health import EndpointHealth
from gateway.relay.samples import Sample

async def main():
    health = EndpointHealth()
    statistics, bulletins = health.statistics, Bulletins(sys.argv[1], health)
    task = asyncio.create_task(bulletins.run_forever())
    for _ in range(200):
        statistics.record(Sample("a/m@other", "ok", first_token_ms=250))
    for _ in range(3):
        health.failure("a/m@dead")
    health.rate_limited("a/m@busy", 60)
    print("recorded", flush=True)
    await asyncio.sleep(30)

asyncio.run(main())
"""


@pytest.fixture(autouse=True)
def empty_store():
    with redis.Redis.from_url(settings.BROKER_REDIS_URL) as store:
        for key in store.scan_iter(f"{STREAM}*"):
            store.delete(key)
        yield store


class Process:
    """What a process of the data plane has."""

    def __init__(self, url: str = "", clock=time.time, *, balanced: bool = False) -> None:
        self.statistics = Statistics(clock)
        self.health = EndpointHealth(statistics=self.statistics)
        self.balancer = Balancer(self.health, clock=clock) if balanced else None
        self.bulletins = Bulletins(url or settings.BROKER_REDIS_URL, self.health, balancer=self.balancer, clock=clock)


def make_balanced():
    """Return an endpoint of a provider with a limit."""
    one = make_candidate("boxes")
    return replace(one, host=replace(one.host, credentials=(Credential("main", "1", rpm_limit=100),)))


async def test_what_one_process_sees_every_process_knows_within_five_seconds():
    here = Process()
    task = asyncio.create_task(here.bulletins.run_forever())
    other = await asyncio.create_subprocess_exec(
        sys.executable, "-c", OTHER_PROCESS, settings.BROKER_REDIS_URL, stdout=asyncio.subprocess.PIPE
    )
    await other.stdout.readline()
    began_s = time.monotonic()
    while here.statistics.latency_ms("a/m@other", "p50") is None or not here.health.has_trouble:
        assert time.monotonic() - began_s < 5
        await asyncio.sleep(0.02)
    other.kill()
    await other.wait()

    assert here.statistics.figures("a/m@other").graded == 200
    assert here.health.is_down("a/m@dead")
    assert here.health.is_down("a/m@busy")
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await here.bulletins.close()


async def test_a_process_that_begins_knows_what_was_measured_before():
    first = Process()
    await first.bulletins.catch_up()
    first.statistics.record(Sample("a/m@one", "ok", first_token_ms=100, total_ms=500, usage=Usage(output_tokens=10)))
    await first.bulletins.publish()

    late = Process()
    await late.bulletins.catch_up()

    assert late.statistics.figures("a/m@one").graded == 1
    assert late.statistics.long_figures("a/m@one").graded == 1
    await first.bulletins.close()
    await late.bulletins.close()


async def test_a_slot_that_has_ended_is_kept_once_for_half_an_hour_and_counted_for_the_day():
    now = [float(int(time.time()) // 300 * 300 + 299)]
    processes = [Process(clock=lambda: now[0]) for _ in range(2)]
    for process in processes:
        await process.bulletins.catch_up()
        # Both know the slot from its beginning.
        process.bulletins._archived -= 1
    processes[0].statistics.record(Sample("a/m@one", "ok", first_token_ms=100))
    processes[0].statistics.record(Sample("a/m@one", "server"))
    bulletin = processes[0].statistics.take()
    for process in processes:
        process.statistics.merge(bulletin, now[0])

    now[0] += 7
    for process in processes:
        await process.bulletins._archive()

    late = Process(clock=lambda: now[0])
    await late.bulletins.catch_up()
    assert late.statistics.long_figures("a/m@one").graded == 2
    assert late.bulletins.days == {"a/m@one": (1, 2)}
    for process in (*processes, late):
        await process.bulletins.close()


async def test_without_redis_a_process_goes_on_with_its_own_figures():
    alone = Process("redis://127.0.0.1:1/0")
    task = asyncio.create_task(alone.bulletins.run_forever())
    alone.statistics.record(Sample("a/m@one", "ok", first_token_ms=100))
    began_s = time.monotonic()
    while alone.statistics.figures("a/m@one") is None:
        assert time.monotonic() - began_s < 5
        await asyncio.sleep(0.02)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await alone.bulletins.close()


async def test_processes_know_of_each_other_and_what_each_has_on_its_way():
    first, second = Process(balanced=True), Process(balanced=True)
    candidate = make_balanced()
    await first.bulletins.publish()  # it has nothing to tell but that it is there
    await second.bulletins.catch_up()
    assert second.balancer.peers.count == 2

    deployment = first.balancer.choose(candidate)
    first.balancer.began(deployment)
    await first.bulletins.publish()
    await second.bulletins._read(block_ms=None)
    assert second.health.load_of(candidate.endpoint.id) == 1
    assert second.balancer.choose(candidate).requests == 1

    first.balancer.ended(deployment)
    await first.bulletins.publish()
    await second.bulletins._read(block_ms=None)
    assert second.health.load_of(candidate.endpoint.id) == 0
    assert second.balancer.choose(candidate).requests == 1
    await first.bulletins.close()
    await second.bulletins.close()


async def test_what_could_not_be_told_is_told_later(empty_store):
    alone = Process("redis://127.0.0.1:1/0", balanced=True)
    deployment = alone.balancer.choose(make_balanced())
    alone.balancer.began(deployment)
    with pytest.raises(redis.RedisError):
        await alone.bulletins.publish()

    assert alone.balancer.take_news()[0] == {deployment.name: (1, 0)}
    await alone.bulletins.close()


async def test_a_process_without_traffic_writes_nothing(empty_store):
    idle = Process()
    await idle.bulletins.publish()
    assert empty_store.exists(STREAM) == 0
    await idle.bulletins.close()


@pytest.mark.interpreted
async def test_a_second_that_goes_wrong_does_not_end_the_statistics(monkeypatch):
    here = Process()
    broken = iter([True])
    take = here.statistics.take

    def take_or_break():
        if next(broken, False):
            raise KeyError("nobody thought of this")
        return take()

    monkeypatch.setattr(here.statistics, "take", take_or_break)
    task = asyncio.create_task(here.bulletins.run_forever())
    here.statistics.record(Sample("a/m@one", "ok", first_token_ms=100))
    began_s = time.monotonic()
    while here.statistics.figures("a/m@one") is None:
        assert time.monotonic() - began_s < 5
        await asyncio.sleep(0.02)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await here.bulletins.close()
