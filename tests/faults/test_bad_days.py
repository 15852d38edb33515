"""kill -9 of every kind of process under traffic. Afterwards the books balance, nothing is held, nobody paid twice, and nothing that was
answered is unbilled."""

import threading
import time

import httpx
import pytest

from tests.faults.scale import times

pytestmark = [pytest.mark.faults, pytest.mark.xdist_group("faults")]


def assert_everything_is_billed_once(stack, record, before):
    """Every answer that a client saw has exactly one receipt with its cost; requests whose connection broke have at most one each.

    A refusal charges nothing. Its hold may have been taken all the same, unheard: the reaper closes it with a receipt of nothing.
    """
    stack.await_receipts(record.costs_nanos)
    stack.settle()
    assert stack.freezes() == []
    receipts = {name: rows for name, rows in stack.receipts().items() if name not in before}
    assert record.other == []
    seen = {name: receipts.pop(name, []) for name in record.costs_nanos}
    assert {name: sum(amount for amount, _ in rows) for name, rows in seen.items()} == record.costs_nanos
    assert {len(rows) for rows in seen.values()} <= {1}
    of_nothing = [name for name, rows in receipts.items() if rows == [(0, "expired")]]
    assert len(receipts) - len(of_nothing) <= record.unknown
    assert len(receipts) <= record.unknown + record.refused


def test_a_killed_settlement_worker_loses_and_doubles_nothing(stack):
    before = stack.earlier()

    with stack.traffic() as record:
        for _ in range(times(1, 3)):
            stack.await_answers(record, 20)
            stack.kill(*stack.processes("celery -A gateway.celery worker"))
        stack.await_answers(record, 20)

    assert record.unknown == 0
    assert_everything_is_billed_once(stack, record, before)


def test_a_killed_money_store_refuses_for_a_moment_and_loses_nothing(stack):
    before = stack.earlier()

    with stack.traffic() as record:
        for _ in range(times(1, 2)):
            stack.await_answers(record, 20)
            stack.kill(*stack.money_store())
            stack.await_refusals(record, 1)
            stack.await_answers(record, 20)

    assert_everything_is_billed_once(stack, record, before)


def test_a_killed_database_stops_no_traffic_and_loses_nothing(stack):
    before = stack.earlier()

    with stack.traffic() as record:
        stack.await_answers(record, 20)
        stack.kill(*stack.processes("postgres -D")[:1])
        time.sleep(4)
        stack.await_answers(record, 20)

    assert record.refused == 0
    assert_everything_is_billed_once(stack, record, before)


def test_killed_web_workers_leave_no_hold_and_charge_at_most_what_was_sent(stack):
    before = stack.earlier()
    stack.is_settled = False
    started: list[str] = []
    ended: list[str] = []

    def stream(number):
        text = f"[[simulate: big=4000 rate=50]] stream {number}"
        body = {"model": "openai/gpt-4o-mini", "max_tokens": 4000, "stream": True, "messages": [{"role": "user", "content": text}]}
        headers = {"Authorization": f"Bearer {stack.demo['TOLLWAY_API_KEY']}"}
        try:
            with httpx.stream("POST", f"{stack.url}/api/v1/chat/completions", json=body, headers=headers, timeout=30) as answer:
                started.append(answer.headers["x-generation-id"])
                ended.extend(line for line in answer.iter_lines() if line == "data: [DONE]")
        except httpx.HTTPError:
            pass

    threads = [threading.Thread(target=stream, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + 60
    while len(started) < 6 and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(6)  # longer than a heartbeat, which tells what was spent so far
    stack.kill(*stack.web_workers())
    for thread in threads:
        thread.join()

    assert len(started) == 6
    assert ended == []
    stack.settle()
    rows = {name: found for name, found in stack.receipts().items() if name not in before}
    assert set(rows) == set(started)
    assert [found[0][1] for found in rows.values()] == ["expired"] * 6
    # gpt-4o-mini writes for 600 nanos a token. At 50 tokens a second, 6 seconds are 300 tokens; the watch counts characters as
    # tokens, so the charge of a dead gateway is bounded by what a client could have received, and is never nothing.
    assert all(0 < found[0][0] <= 4000 * 600 + 100_000 for found in rows.values())
    assert stack.is_ready()


@pytest.mark.long
def test_killed_web_workers_under_whole_answers_bill_what_was_answered(stack):
    before = stack.earlier()

    with stack.traffic() as record:
        for _ in range(3):
            stack.await_answers(record, 10)
            stack.kill(stack.web_workers()[0])  # the other one goes on
            stack.await_answers(record, 10)

    assert_everything_is_billed_once(stack, record, before)
