"""What real traffic through the data plane leaves in the statistics."""

import time

import pytest
import redis
from django.conf import settings

from catalog.measurements import BOARD, decode_board

TOOLS = [
    {
        "type": "function",
        "function": {"name": "get_weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}},
    }
]


def wait_for(stack, endpoint_id, ready):
    deadline = time.monotonic() + 5
    while True:
        figures = stack.plane.statistics.figures(endpoint_id)
        if figures is not None and ready(figures):
            return figures
        assert time.monotonic() < deadline, figures
        time.sleep(0.02)


def test_streams_leave_latency_and_throughput_whole_answers_throughput_alone(stack, customer):
    endpoint = "test/claude@clio"
    fields = {"model": "test/claude", "provider": {}}
    assert customer.post(**fields).status_code == 200
    figures = wait_for(stack, endpoint, lambda one: one.graded == 1)
    assert figures.latency_ms() is None
    assert figures.throughput_tps("p50") > 0

    customer.stream(**fields)
    figures = wait_for(stack, endpoint, lambda one: one.graded == 2)
    assert figures.latency_ms("p95") >= 1
    assert figures.uptime == 1
    assert figures.mean_output_tokens > 0


@pytest.mark.parametrize("model", ["test/chat", "test/gemini"])
def test_tool_calls_of_whole_and_streamed_answers_are_checked(stack, customer, model):
    endpoint = {"test/chat": "test/chat@alpha", "test/gemini": "test/gemini@gem"}[model]
    fields = {"model": model, "tools": TOOLS, "tool_choice": "required", "provider": {"order": [endpoint.partition("@")[2]]}}
    answer = customer.post(**fields)
    assert answer.json()["choices"][0]["finish_reason"] == "tool_calls"
    customer.stream(**fields)

    figures = wait_for(stack, endpoint, lambda one: one.tool_answers == 2)
    assert figures.tool_faults == 0


def test_a_dead_endpoint_loses_its_uptime_and_its_place_and_the_next_one_answers(stack, customer):
    for _ in range(4):
        assert customer.post(model="test/shaky", provider={"sort": "price"}).status_code == 200
    figures = wait_for(stack, "test/shaky@dead", lambda one: one.graded == 3)
    assert figures.uptime == 0

    # The fourth request did not ask it any more.
    receipts = customer.receipts()
    assert len(receipts[0].attempts) == 1
    assert len(receipts[1].attempts) == 2


def test_the_catalogs_api_shows_what_was_measured_within_five_seconds(stack, customer):
    path = "/api/v1/models/test/responses/endpoints"
    before = stack.client.get(path).json()["data"]["endpoints"][0]
    assert (before["uptime_last_30m"], before["latency_last_30m"], before["throughput_last_30m"]) == (None, None, None)

    for _ in range(10):
        customer.stream(model="test/responses", provider={})

    deadline = time.monotonic() + 5
    while (shown := stack.client.get(path).json()["data"]["endpoints"][0])["uptime_last_30m"] is None:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert (shown["uptime_last_5m"], shown["uptime_last_30m"], shown["uptime_last_1d"]) == (100.0, 100.0, 100.0)
    assert list(shown["latency_last_30m"]) == ["p50", "p75", "p90", "p99"]
    assert 1 <= shown["latency_last_30m"]["p50"] <= shown["latency_last_30m"]["p99"]
    assert shown["throughput_last_30m"]["p50"] >= shown["throughput_last_30m"]["p99"] > 0


def test_the_board_for_pages_has_the_same_figures(stack, customer):
    customer.post(model="test/free", provider={})
    wait_for(stack, "test/free@alpha", lambda one: one.graded >= 1)

    deadline = time.monotonic() + 5
    with redis.Redis.from_url(settings.BROKER_REDIS_URL) as store:
        while "test/free@alpha" not in (board := decode_board(store.get(BOARD) or b"\x80")):
            assert time.monotonic() < deadline
            time.sleep(0.1)
    assert board["test/free@alpha"].requests == 1
    assert board["test/free@alpha"].uptime_30m is None  # one request says nothing about an uptime
    assert board["test/free@alpha"].throughput_tps[0] > 0
