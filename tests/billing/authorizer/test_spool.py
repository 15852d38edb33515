import asyncio
import multiprocessing
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from billing.authorizer.connection import MoneyConnection
from billing.authorizer.holds import Holds
from billing.authorizer.spool import REJECTED, Spool, SpoolFull
from tests.billing.authorizer.books import Books
from tests.billing.authorizer.shard import ORG, Shard, event_of, new_id, usage_event
from tests.billing.authorizer.test_connection import wait_for
from tests.billing.authorizer.test_holds import take

Make = Callable[..., Holds]


async def start(folder: Path, **options: int) -> Spool:
    spool = Spool(folder, **{"segment_bytes": 16 * 1024, **options})
    await spool.start()
    return spool


def fill(spool: Spool, count: int) -> list[str]:
    return [spool.append(usage_event(new_id(), number)).event for number in range(count)]


async def read_all(spool: Spool) -> list[str]:
    return [record.event for segment in spool.closed for record in await spool.read(segment)]


def die_with_events(folder: str, count: int, pipe) -> None:
    async def write() -> None:
        spool = await start(Path(folder))
        pipe.send(fill(spool, count))
        os.kill(os.getpid(), 9)

    asyncio.run(write())


def leave_behind(folder: Path, count: int) -> list[str]:
    """Let another process write events and be killed."""
    here, there = multiprocessing.get_context("spawn").Pipe()
    process = multiprocessing.get_context("spawn").Process(target=die_with_events, args=(str(folder), count, there))
    process.start()
    events = here.recv()
    process.join()
    return events


async def abandon(folder: Path, count: int) -> list[str]:
    """Leave a folder as a killed process leaves it: nothing closed, nothing cut, the lock gone."""
    spool = await start(folder)
    events = fill(spool, count)
    os.close(spool._lock_fd)
    spool._executor.shutdown()
    await asyncio.sleep(0.002)  # the next folder has another name
    return events


def segments(folder: Path) -> list[Path]:
    return sorted(folder.glob("*/*.seg"))


async def test_an_event_is_in_the_file_when_append_returns(tmp_path: Path) -> None:
    spool = await start(tmp_path)
    record = spool.append(usage_event(new_id(), 5))
    assert record.json in segments(tmp_path)[0].read_bytes()
    await spool.close()


async def test_every_event_comes_back_in_order_over_many_segments(tmp_path: Path) -> None:
    spool = await start(tmp_path)
    events = fill(spool, 200)
    spool.keep_house(rotate_after_s=0, delete_after_s=900)
    assert len(spool.closed) > 3
    assert await read_all(spool) == events
    await spool.close()


async def test_the_disk_has_an_event_soon_after(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fdatasync", synced.append)
    spool = await start(tmp_path, fsync_s=0)
    fill(spool, 10)
    await wait_for(lambda: bool(synced))
    assert len(synced) == 1  # grouped
    await spool.close()


async def test_the_events_of_a_killed_process_are_adopted(tmp_path: Path) -> None:
    events = await asyncio.to_thread(leave_behind, tmp_path, 30)
    spool = await start(tmp_path)
    assert spool.adopt() >= 1
    assert spool.adopt() == 0
    assert await read_all(spool) == events
    await spool.close()


async def test_a_folder_whose_process_lives_is_left_alone(tmp_path: Path) -> None:
    first, second = await start(tmp_path / "x"), Spool(tmp_path / "x", segment_bytes=16 * 1024)
    fill(first, 3)
    await asyncio.sleep(0.002)
    await second.start()
    assert second.adopt() == 0
    await first.close()
    assert second.adopt() == 1
    await second.close()


async def test_a_truncated_last_line_is_put_aside_and_the_others_are_kept(tmp_path: Path) -> None:
    events = await abandon(tmp_path, 10)
    [path, *_] = segments(tmp_path)
    path.write_bytes(path.read_bytes().rstrip(b"\0")[:-20])
    spool = await start(tmp_path)
    spool.adopt()
    assert await read_all(spool) == events[:-1]
    assert len(list((tmp_path / REJECTED).iterdir())) == 1
    await spool.close()


@pytest.mark.parametrize("place", [3, 8, 9, 40, 200])
async def test_a_flipped_bit_rejects_its_line_alone(tmp_path: Path, place: int) -> None:
    events = await abandon(tmp_path, 10)
    [path, *_] = segments(tmp_path)
    content = bytearray(path.read_bytes())
    content[content.index(b"\n") + 1 + place] ^= 4
    path.write_bytes(content)
    spool = await start(tmp_path)
    spool.adopt()
    assert await read_all(spool) == [events[0], *events[2:]]
    [rejected] = (tmp_path / REJECTED).iterdir()
    assert len(rejected.read_bytes()) > 100
    await spool.close()


async def test_booked_segments_go_when_they_are_old_enough(tmp_path: Path) -> None:
    spool = await start(tmp_path)
    fill(spool, 3)
    spool.keep_house(rotate_after_s=0, delete_after_s=900)
    [segment] = spool.closed
    spool.keep_house(rotate_after_s=900, delete_after_s=0)
    assert segment.path.exists()
    segment.is_booked = True
    spool.keep_house(rotate_after_s=900, delete_after_s=900)
    assert segment.path.exists()
    spool.keep_house(rotate_after_s=900, delete_after_s=0)
    assert not segment.path.exists()
    await spool.close()
    assert segments(tmp_path) == []


async def test_a_full_spool_stops_new_requests_and_takes_the_running_ones(tmp_path: Path) -> None:
    spool = await start(tmp_path, max_bytes=64 * 1024)
    events: list[str] = []
    while not spool._problem:
        events += fill(spool, 1)
    with pytest.raises(SpoolFull) as caught:
        spool.check_room()
    assert caught.value.retry_after_s == 5.0
    events += fill(spool, 10)
    spool.keep_house(rotate_after_s=900, delete_after_s=900)
    with pytest.raises(SpoolFull, match="full"):
        spool.check_room()
    for segment in spool.closed:
        segment.is_booked = True
    gone = await read_all(spool)
    spool.keep_house(rotate_after_s=900, delete_after_s=0)
    spool.keep_house(rotate_after_s=0, delete_after_s=900)
    spool.check_room()
    assert gone + await read_all(spool) == events
    await spool.close()


async def test_a_disk_without_space_stops_new_requests_before_an_event_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = await start(tmp_path)
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1_000))
    events = fill(spool, 60)
    with pytest.raises(SpoolFull, match="free"):
        spool.check_room()
    monkeypatch.undo()
    spool.keep_house(rotate_after_s=0, delete_after_s=900)
    spool.check_room()
    spool.keep_house(rotate_after_s=0, delete_after_s=900)
    assert sorted(await read_all(spool)) == sorted(events)
    await spool.close()


async def test_an_event_that_cannot_be_written_is_kept_and_written_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = await start(tmp_path, segment_bytes=4096)

    def refuse(*_: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "posix_fallocate", refuse)
    records = [spool.append(usage_event(new_id(), 5)) for _ in range(40)]
    with pytest.raises(SpoolFull):
        spool.check_room()
    assert [record.segment for record in records[-3:]] == [None] * 3
    assert {record.event for record in records} == set(spool.unsettled)
    monkeypatch.undo()
    while spool._unwritten:
        spool.keep_house(rotate_after_s=0, delete_after_s=900)
    spool.keep_house(rotate_after_s=0, delete_after_s=900)
    spool.check_room()
    assert sorted(await read_all(spool)) == sorted(record.event for record in records)
    await spool.close()


async def test_a_disk_that_fails_a_sync_stops_new_requests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = await start(tmp_path)

    def refuse(*_: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fdatasync", refuse)
    fill(spool, 1)
    await wait_for(lambda: bool(spool._problem))
    with pytest.raises(SpoolFull, match="synced: Input/output error"):
        spool.check_room()
    monkeypatch.undo()
    await spool.close()


async def test_a_replay_of_a_dead_process_charges_each_event_once(
    shard: Shard, connection: MoneyConnection, make_holds: Make, books: Books, tmp_path: Path
) -> None:
    books.granted[ORG] = 10_000
    books.rebuild()
    events = await abandon(tmp_path / "spool", 30)  # amounts 0 to 29; the store never heard of them
    holds = await make_holds(connection)
    holds._janitor._late_after_s = 0.1
    await wait_for(lambda: books.settle() == 0 and len(books.rows) == 30, within_s=15)
    books.drain()
    assert {event.hex for event, _ in books.rows} == set(events)
    assert shard.balance() == (10_000 - sum(range(30)), 0, 0)
    assert shard.key().spent_nanos == sum(range(30))
    await wait_for(lambda: all(segment.is_booked for segment in holds._spool.closed), within_s=15)


async def test_segments_wait_for_the_books(shard: Shard, connection: MoneyConnection, make_holds: Make, books: Books) -> None:
    shard.open(1_000)
    books.is_down = True
    holds = await make_holds(connection)
    hold = await take(holds, 10)
    holds.settle(hold, event_of(hold, 10))
    holds._spool.keep_house(rotate_after_s=0, delete_after_s=0)
    await asyncio.sleep(0.3)
    [segment] = holds._spool.closed
    assert not segment.is_booked
    books.is_down = False
    books.drain()
    segment.reviewed_s = 0.0
    holds._janitor.wake()
    await wait_for(lambda: segment.is_booked)

    # The books come back as they were before: what is old enough to go is all that they can be made whole from.
    rows = dict(books.rows)
    books.rows.clear()
    segment.opened_s = float("-inf")
    await holds._janitor._delete_expired()
    assert segment in holds._spool.closed
    assert not segment.is_booked
    books.rows.update(rows)
    segment.reviewed_s = 0.0
    await holds._janitor._review()
    await holds._janitor._delete_expired()
    assert segment not in holds._spool.closed


async def test_each_event_is_compared_with_the_books_once(
    shard: Shard, connection: MoneyConnection, make_holds: Make, books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    shard.open(1_000)
    holds = await make_holds(connection)
    hold = await take(holds, 10)
    holds.settle(hold, event_of(hold, 10))
    await wait_for(lambda: books.settle() == 1)
    holds._spool.keep_house(rotate_after_s=0)
    [segment] = holds._spool.closed
    holds._janitor.wake()
    await wait_for(lambda: segment.is_booked, within_s=15)

    async def refuse(_: object) -> None:
        raise AssertionError("compared again")

    monkeypatch.setattr(holds._janitor._loader, "compare", refuse)
    holds._spool.doubt_booked(due_within_s=60)
    assert not segment.is_booked
    await holds._janitor._review()
    assert segment.is_booked
    segment.opened_s = float("-inf")
    await holds._janitor._delete_expired()
    assert segment not in holds._spool.closed
