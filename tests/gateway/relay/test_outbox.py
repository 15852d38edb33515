"""What is written within one turn of a loop leaves together, in order, and nothing of it is lost."""

import asyncio
import logging
from typing import Any, cast

import pytest

from gateway.relay.outbox import Outbox, outbox_of

_BUSY = 4  # tasks that go on in a turn
_TOGETHER_MAX = 64


class _Transport:
    """Notes what is written, into a record that several share."""

    def __init__(self, name: str, record: list[tuple[str, bytes]], *, is_broken: bool = False) -> None:
        self.name = name
        self.is_closed = False
        self._record = record
        self._is_broken = is_broken

    def is_closing(self) -> bool:
        return self.is_closed

    def write(self, data: bytes) -> None:
        if self._is_broken:
            raise RuntimeError("the handler is closed")
        self._record.append((self.name, data))

    def abort(self) -> None:
        self.is_closed = True


def _transport(name: str, record: list[tuple[str, bytes]], **options: bool) -> Any:
    return cast("asyncio.Transport", _Transport(name, record, **options))


async def _begin_turn(outbox: Outbox, goes_on: int) -> None:
    """Return in a turn of the loop in which so much goes on."""
    for _ in range(goes_on):
        outbox.expect()
    await asyncio.sleep(0)


async def test_where_little_goes_on_a_write_leaves_at_once() -> None:
    record: list[tuple[str, bytes]] = []
    outbox = Outbox()
    await _begin_turn(outbox, _BUSY - 1)
    outbox.write(_transport("a", record), b"1")
    assert record == [("a", b"1")]


async def test_what_comes_together_in_a_busy_turn_leaves_at_its_end_in_its_order() -> None:
    record: list[tuple[str, bytes]] = []
    outbox = Outbox()
    a, b = _transport("a", record), _transport("b", record)
    await _begin_turn(outbox, _BUSY)
    outbox.write(a, b"1")
    outbox.write(b, b"2")
    outbox.write(a, b"3")
    assert record == []
    await asyncio.sleep(0)
    assert record == [("a", b"1"), ("b", b"2"), ("a", b"3")]


async def test_a_turn_with_little_after_a_busy_one_keeps_nothing() -> None:
    record: list[tuple[str, bytes]] = []
    outbox = Outbox()
    a = _transport("a", record)
    await _begin_turn(outbox, _BUSY)
    await asyncio.sleep(0)
    await _begin_turn(outbox, 1)
    outbox.write(a, b"1")
    assert record == [("a", b"1")]


async def test_what_arrives_during_a_busy_turn_counts_for_the_next() -> None:
    record: list[tuple[str, bytes]] = []
    outbox = Outbox()
    a = _transport("a", record)
    await _begin_turn(outbox, _BUSY)
    for _ in range(_BUSY):
        outbox.expect()
    outbox.write(a, b"1")
    await asyncio.sleep(0)
    assert record == [("a", b"1")]
    outbox.write(a, b"2")
    assert record == [("a", b"1")]
    await asyncio.sleep(0)
    assert record == [("a", b"1"), ("a", b"2")]


async def test_one_request_after_the_other_never_waits() -> None:
    record: list[tuple[str, bytes]] = []
    outbox = Outbox()
    a = _transport("a", record)
    for number in range(3 * _BUSY):
        await _begin_turn(outbox, 1)
        outbox.write(a, b"%d" % number)
        assert len(record) == number + 1


async def test_arrivals_without_a_write_make_one_turn_busy_and_are_forgotten() -> None:
    record: list[tuple[str, bytes]] = []
    outbox = Outbox()
    a = _transport("a", record)
    for _ in range(_BUSY):
        await _begin_turn(outbox, 1)
    outbox.write(a, b"1")
    assert record == []
    await asyncio.sleep(0)
    assert record == [("a", b"1")]
    await _begin_turn(outbox, _BUSY - 1)
    outbox.write(a, b"2")
    assert record == [("a", b"1"), ("a", b"2")]


async def test_a_call_made_behind_a_write_finds_it_written() -> None:
    record: list[tuple[str, bytes]] = []
    seen: list[int] = []
    outbox = Outbox()
    await _begin_turn(outbox, _BUSY)
    outbox.write(_transport("a", record), b"1")
    asyncio.get_running_loop().call_soon(lambda: seen.append(len(record)))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert seen == [1]


async def test_enough_of_it_leaves_before_the_end_of_the_turn() -> None:
    record: list[tuple[str, bytes]] = []
    outbox = Outbox()
    a = _transport("a", record)
    await _begin_turn(outbox, _BUSY)
    for number in range(_TOGETHER_MAX + 1):
        outbox.write(a, b"%d" % number)
    assert record == [("a", b"%d" % number) for number in range(_TOGETHER_MAX)]
    await asyncio.sleep(0)
    assert record[-1] == ("a", b"%d" % _TOGETHER_MAX)


async def test_one_that_cannot_be_written_keeps_no_other_back(caplog: pytest.LogCaptureFixture) -> None:
    record: list[tuple[str, bytes]] = []
    outbox = Outbox()
    broken, closed = _transport("broken", record, is_broken=True), _transport("closed", record)
    await _begin_turn(outbox, _BUSY)
    with caplog.at_level(logging.ERROR):
        for transport in (broken, closed, _transport("whole", record)):
            outbox.write(transport, b"x")
        closed.abort()
        await asyncio.sleep(0)
    assert record == [("whole", b"x")]
    assert broken.is_closed
    assert [one.message for one in caplog.records] == ["write_failed"]


async def test_each_loop_has_an_outbox_of_its_own() -> None:
    loop = asyncio.new_event_loop()
    try:
        other = outbox_of(loop)
        assert other is outbox_of(loop)
        assert other is not outbox_of(asyncio.get_running_loop())
    finally:
        loop.close()
