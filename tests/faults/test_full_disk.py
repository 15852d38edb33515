"""The disk of the database is full under traffic: requests go on, and what they cost is booked when there is room."""

import errno
import time

import pytest

from tests.faults.scale import times
from tests.faults.stack import Stack
from tests.faults.test_bad_days import assert_everything_is_billed_once

pytestmark = [pytest.mark.faults, pytest.mark.xdist_group("faults")]

DISK_BYTES = 512 * 1024 * 1024
WITHIN_S = 240
_COMPLAINTS = ("No space left on device", "server closed the connection", "the connection is closed", "Connection refused")


@pytest.fixture
def small(tmp_path):
    running = Stack(tmp_path, database_bytes=DISK_BYTES)
    yield running
    running.stop()


def _fill(disk):
    """Leave no byte, and return the file that takes them."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (2**20, 4096, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError as error:
                assert error.errno == errno.ENOSPC  # noqa: PT017 -- the next smaller piece may fit
    return ballast


def _complaints(stack):
    text = "".join(path.read_text(errors="replace") for path in (stack.folder / "logs").glob("worker*"))
    return sum(text.count(words) for words in _COMPLAINTS)


@pytest.mark.long
def test_a_database_whose_disk_is_full_stops_no_traffic_and_everything_is_booked_when_there_is_room(small, record_property):
    before, rounds, meanwhile = small.earlier(), times(1, 3), 0
    with small.traffic() as record:
        for _ in range(rounds):
            small.await_answers(record, 20)
            known, answered = _complaints(small), len(record.costs_nanos)
            ballast = _fill(small.database_disk())
            deadline = time.monotonic() + WITHIN_S
            while _complaints(small) == known:
                assert time.monotonic() < deadline, "the books do not notice"
                time.sleep(0.2)
            small.await_answers(record, 50)
            meanwhile += len(record.costs_nanos) - answered
            ballast.unlink()
            deadline = time.monotonic() + WITHIN_S
            while not small.database_answers():
                assert time.monotonic() < deadline, "the database does not come back"
                time.sleep(0.2)

    assert record.refused == 0
    assert record.unknown == 0
    assert_everything_is_billed_once(small, record, before)
    record_property("repeats", rounds)
    record_property("figure", f"{rounds} times no byte left: {meanwhile:,} answers meanwhile, none refused, every one booked afterwards")
