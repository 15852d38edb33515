"""The upstream and the drivers against each other: what they count must be what was sent."""

import asyncio
import json
import time
from collections.abc import AsyncIterator

import pytest

from bench.drive import drive_closed, drive_rate, drive_streams
from bench.upstream import Connection


@pytest.fixture
async def port() -> AsyncIterator[int]:
    server = await asyncio.get_running_loop().create_server(Connection, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


def job(port: int, **more: object) -> dict[str, object]:
    return {"port": port, "path": "/v1/chat/completions", "key": "k", "body": json.dumps({"model": "m"}), **more}


async def test_a_closed_load_waits_for_every_answer(port):
    told = await drive_closed(job(port, connections=4, duration_s=0.2))
    assert told["failures"] == 0
    assert told["requests"] > 4
    assert 0 < told["p50_ms"] <= told["p99_ms"]


async def test_a_fixed_rate_sends_what_it_says_in_the_time_it_says(port):
    began_s = time.monotonic()
    told = await drive_rate(job(port, connections=4, rate_per_s=200, duration_s=0.5))
    assert told["requests"] == 100
    assert told["failures"] == 0
    assert time.monotonic() - began_s >= 0.49


async def test_streams_arrive_whole_with_their_delays(port):
    body = json.dumps({"stream": True, "max_tokens": 80, "seed": 20_000})
    told = await drive_streams(job(port, body=body, streams=3, offered_per_s=150.0, ramp_s=0.1, duration_s=0.5))
    assert told["requests"] == 3
    assert told["failures"] == 0
    assert 0 < told["chunks_per_s"] <= 3 * 80 / 0.5
    assert 0 <= told["delay_p50_ms"] <= told["delay_p99_ms"]
    assert told["first_p50_ms"] > 0


async def test_a_refused_stream_is_a_failure():
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
        told = await drive_streams(
            job(server.sockets[0].getsockname()[1], streams=2, offered_per_s=1.0, ramp_s=0.0, duration_s=0.1),
        )
    assert told["failures"] == 2
    assert told["requests"] == 0
