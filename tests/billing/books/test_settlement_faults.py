"""Settlement that dies at any point, and events that the books refuse."""

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from django.db import connection

from billing import live
from billing.books import charges, dead_letters, invariants, rebuild, settlement
from billing.models import SettlementDeadLetter, UsageEvent
from tests.billing import plane
from tests.billing.conftest import USD

ROOT = Path(__file__).resolve().parents[3]


class Crash(Exception):
    pass


def _crash(*_, **__):
    raise Crash


def _acknowledge_half(*, shard, acks, is_gapless=False):
    live.stream.acknowledge(shard=shard, acks=acks[: len(acks) // 2])
    raise Crash


CRASHES = {
    "after reading": ("billing.books.settlement.partitions.ensure", _crash),
    "before the commit": ("billing.books.settlement.charges.assert_balanced", _crash),
    "after the commit": ("billing.books.settlement.live.acknowledge", _crash),
    "in the acknowledgement": ("billing.books.settlement.live.acknowledge", _acknowledge_half),
}


@pytest.mark.parametrize("point", CRASHES)
def test_a_crash_loses_nothing_and_doubles_nothing(make_organization, monkeypatch, point):
    organization = make_organization(USD)
    for amount_nanos in range(1, 21):
        plane.spend(organization, amount_nanos)
    twice = plane.spend(organization, 100)
    plane.settle(twice, late=True)

    with monkeypatch.context() as patch:
        patch.setattr(*CRASHES[point])
        with pytest.raises(Crash):
            settlement.settle_shard(shard=7)
    settlement.settle_shard(shard=7)

    assert UsageEvent.objects.count() == 21
    assert live.read_balance(org_id=organization.pk, shard=7) == (USD - 310, 0, 0, 1)
    assert live.read_key_usage(shard=7, key_ids=[1])[1].spent_nanos == 310
    assert invariants.verify(shards=[7]) == []


@pytest.mark.parametrize("point", CRASHES)
def test_a_crash_in_a_backlog_loses_nothing_and_doubles_nothing(make_organization, monkeypatch, point):
    monkeypatch.setattr(settlement, "BATCH_EVENTS", 5)
    organization = make_organization(USD)
    for amount_nanos in range(1, 24):
        plane.spend(organization, amount_nanos)

    with monkeypatch.context() as patch:
        patch.setattr(*CRASHES[point])
        with pytest.raises(Crash):
            settlement.settle_shard(shard=7)
    booked = UsageEvent.objects.count()
    settled = settlement.settle_shard(shard=7)

    # An acknowledgement runs beside the batch that follows, so two may be booked when it fails.
    assert booked == {"after reading": 0, "before the commit": 0, "after the commit": 10, "in the acknowledgement": 10}[point]
    assert (settled.booked, UsageEvent.objects.count()) == (23 - booked, 23)
    assert live.stream_lag(shard=7).entries == 0
    assert live.read_balance(org_id=organization.pk, shard=7) == (USD - 276, 0, 0, 1)
    assert live.read_key_usage(shard=7, key_ids=[1])[1].spent_nanos == 276
    assert invariants.verify(shards=[7]) == []


# Loads Django once, then forks a worker for each point it reads: connections are opened in the worker only.
WORKERS = """
import os, sys, time
import django
django.setup()
from billing import live
from billing.books import charges, partitions, settlement

def hang(*_, **__):
    print(os.getpid(), flush=True)
    time.sleep(60)

def hang_half_way(*, shard, acks, is_gapless=False):
    live.stream.acknowledge(shard=shard, acks=acks[: len(acks) // 2])
    hang()

for line in sys.stdin:
    worker = os.fork()
    if worker:
        if os.waitstatus_to_exitcode(os.waitpid(worker, 0)[1]) != -9:
            print("was not killed", flush=True)
        continue
    match line.strip():
        case "after reading":
            partitions.ensure = hang
        case "before the commit":
            charges.assert_balanced = hang
        case "after the commit":
            live.acknowledge = hang
        case "in the acknowledgement":
            live.acknowledge = hang_half_way
    settlement.settle_shard(shard=7)
"""


@pytest.fixture(scope="module")
def workers(django_db_setup):
    process = subprocess.Popen(
        [sys.executable, "-c", WORKERS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT, env=dict(os.environ), text=True, bufsize=1
    )
    yield process
    process.kill()
    process.communicate()


@pytest.mark.parametrize("point", CRASHES)
def test_a_worker_killed_with_signal_9_leaves_its_shard_to_the_next(make_organization, workers, point):
    organization = make_organization(USD)
    for amount_nanos in range(1, 21):
        plane.spend(organization, amount_nanos)

    workers.stdin.write(f"{point}\n")
    os.kill(int(workers.stdout.readline()), signal.SIGKILL)
    settlement.settle_shard(shard=7, wait_s=10)

    assert UsageEvent.objects.count() == 20
    assert live.read_balance(org_id=organization.pk, shard=7) == (USD - 210, 0, 0, 1)
    assert invariants.verify(shards=[7]) == []


def test_a_lost_connection_to_the_books_is_raised_and_nothing_is_given_up(make_organization, monkeypatch):
    organization = make_organization(USD)
    plane.spend(organization, 5)
    roll_up = charges.roll_up

    def cut(sums):
        roll_up(sums)
        with contextlib.suppress(Exception), connection.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")

    with monkeypatch.context() as patch:
        patch.setattr(charges, "roll_up", cut)
        with pytest.raises(Exception, match=r"connection|closed|terminat"):
            settlement.settle_shard(shard=7)
    connection.close()
    settlement.settle_shard(shard=7)

    assert SettlementDeadLetter.objects.count() == 0
    assert live.read_balance(org_id=organization.pk, shard=7) == (USD - 5, 0, 0, 1)


def _poison(organization):
    event = plane.make_event(organization, 9)
    replace = plane.msgspec.structs.replace
    return {
        "bytes that are no JSON": b"\xff{",
        "JSON that is no event": b'{"event_id": 3}',
        "a negative amount": replace(event, event_id=plane.new_id(), amount_nanos=-9, amount_picos=-9_000),
        "picos that round to something else": replace(event, event_id=plane.new_id(), amount_picos=9_501),
        "an id without a time": replace(event, event_id=plane.uuid.uuid4()),
        "an id of the year 10889": replace(event, event_id=plane.uuid.UUID("ffffffff-ffff-7fff-bfff-ffffffffffff")),
        "an unknown organization": replace(event, event_id=plane.new_id(), org_id=2**40),
        "a number beyond 64 bits": replace(event, event_id=plane.new_id(), hold_nanos=2**70),
        "a status code beyond 16 bits": replace(event, event_id=plane.new_id(), http_status=2**17),
    }


def test_every_kind_of_poison_is_dead_lettered_with_its_bytes_and_its_neighbours_are_booked(make_organization):
    organization = make_organization(USD)
    plane.spend(organization, 1)
    poison = _poison(organization)
    for event in poison.values():
        plane.deliver(7, event, org_id=organization.pk, amount_nanos=9)
        plane.spend(organization, 1)

    settled = settlement.settle_shard(shard=7)

    assert (settled.booked, settled.dead_lettered, settled.entries) == (len(poison) + 1, len(poison), 2 * len(poison) + 1)
    stored = [bytes(letter.event) for letter in SettlementDeadLetter.objects.order_by("id")]
    encoded = [event if isinstance(event, bytes) else plane.msgspec.json.encode(event) for event in poison.values()]
    assert sorted(stored) == sorted(encoded)
    assert live.stream_lag(shard=7).entries == 0
    assert {difference.invariant for difference in invariants.verify(shards=[7])} == {"I8"}


def test_the_money_of_a_dead_letter_stays_unposted(make_organization):
    organization = make_organization(100)
    event = plane.make_event(organization, 30)
    plane.reserve(organization, event.event_id, 30)
    plane.settle(plane.msgspec.structs.replace(event, http_status=2**17))

    settlement.settle_shard(shard=7)

    assert live.read_balance(org_id=organization.pk, shard=7) == (70, 0, 30, 1)
    assert UsageEvent.objects.count() == 0


def test_an_entry_whose_charge_differs_from_its_event_is_dead_lettered(make_organization):
    organization = make_organization(100)
    plane.deliver(7, plane.msgspec.json.encode(plane.make_event(organization, 30)), org_id=organization.pk, amount_nanos=31)

    assert settlement.settle_shard(shard=7).dead_lettered == 1
    assert SettlementDeadLetter.objects.get().reason.startswith("the entry charged")


def _refused(organization, amount_nanos=30):
    """Settle a request whose event the books refuse."""
    event = plane.msgspec.structs.replace(plane.make_event(organization, amount_nanos), http_status=2**17)
    plane.reserve(organization, event.event_id, amount_nanos)
    plane.settle(event)
    settlement.settle_shard(shard=7)
    return event


def test_the_charge_of_a_dead_letter_survives_a_rebuild_and_a_spool_that_sends_it_again(make_organization):
    organization = make_organization(100)
    event = _refused(organization)

    for _ in range(2):
        rebuild.rebuild_shard(shard=7)
        plane.put_key(7)
        assert live.read_balance(org_id=organization.pk, shard=7) == (70, 0, 30, 1)
        assert plane.settle(event, late=True) == "LATE"
        settlement.settle_shard(shard=7)
        assert live.read_balance(org_id=organization.pk, shard=7) == (70, 0, 30, 1)

    assert {one.invariant for one in invariants.verify(shards=[7])} == {"I8"}


def test_dealing_with_a_dead_letter_gives_its_charge_back_once(make_organization):
    organization = make_organization(100)
    _refused(organization)
    letters = SettlementDeadLetter.objects.all()

    assert dead_letters.resolve(letters=letters, by=None) == 1
    assert dead_letters.resolve(letters=letters, by=None) == 0

    assert live.read_balance(org_id=organization.pk, shard=7) == (100, 0, 0, 1)
    assert invariants.verify(shards=[7]) == []
