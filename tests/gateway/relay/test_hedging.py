"""Hedged requests through the real path: the second endpoint starts when the first is silent for too long, and the customer pays one."""

import time

import pytest

from accounts import presets
from billing.books.chart import AccountCode
from billing.books.invariants import verify
from billing.models import Account
from gateway.dialects.base import ChatRequest
from gateway.relay.health import EndpointHealth
from gateway.relay.hedging import MEASURED_MIN, UNMEASURED_S, UNMEASURED_WHOLE_S, can_hedge, hedge_after_s, second_of
from gateway.relay.samples import Sample
from gateway.relay.statistics import Statistics
from gateway.relay.tallies import OK
from gateway.relay.tries import lost_sample
from tests.gateway.relay.builders import make_candidate
from tests.gateway.relay.conftest import COMPLETION_PICOS, PROMPT_PICOS

PROVIDER = {"order": ["alpha", "beta"], "hedge": True}


def ask(text):
    return [{"role": "user", "content": text}]


@pytest.fixture
def measured(stack):
    """Make alpha known for speaking and answering within a tenth of a second, and wait until the process has worked that out."""
    statistics = stack.plane.statistics
    stack.plane._stalls._lost.clear()  # of the tests before
    health, alpha = EndpointHealth(statistics=statistics), make_candidate("alpha", model="test/chat")
    for _ in range(200):
        statistics.record(Sample("test/chat@alpha", OK, first_token_ms=60, total_ms=100))
        statistics.record(Sample("test/chat@alpha", OK, total_ms=60))
    deadline = time.monotonic() + 5
    while max(hedge_after_s(health, alpha, streamed=streamed) for streamed in (True, False)) >= 0.2:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def provider_of(events):
    return next(event["provider"] for event in events if isinstance(event, dict))


def attempts_of(receipt):
    return [(one.provider, one.status, one.reason) for one in receipt.attempts]


def test_a_silent_first_endpoint_is_overtaken_and_the_customer_pays_the_winner(customer, measured):
    began = time.monotonic()
    events = customer.stream(messages=ask("[[simulate: first_token_ms=2500 only=alpha]] Hi"), provider=PROVIDER, max_tokens=20)

    assert time.monotonic() - began < 1.5
    assert provider_of(events) == "Beta"
    (receipt,) = customer.receipts()
    assert attempts_of(receipt) == [("alpha", 0, "hedged"), ("beta", 200, "")]
    tokens_in, tokens_out = receipt.meters["input_tokens"], receipt.meters["output_tokens"]
    price_nanos = (4 * (PROMPT_PICOS * tokens_in + COMPLETION_PICOS * tokens_out) + 500) // 1000
    assert receipt.amount_nanos == price_nanos
    lost_nanos = receipt.attempts[0].cost_nanos
    assert lost_nanos > 0
    assert receipt.cost_nanos == price_nanos + lost_nanos


def test_the_losers_cost_is_ours_and_owed_to_its_provider_in_books_that_balance(customer, measured):
    def owed_nanos(provider):
        accounts = Account.objects.filter(code=AccountCode.PROVIDER_PAYABLE.value, provider=provider)
        return sum(one.credits_nanos - one.debits_nanos for one in accounts)

    before = {name: owed_nanos(name) for name in ("alpha", "beta")}
    customer.stream(messages=ask("[[simulate: first_token_ms=2500 only=alpha]] Hi"), provider=PROVIDER, max_tokens=20)
    (receipt,) = customer.receipts()

    assert owed_nanos("alpha") - before["alpha"] == receipt.attempts[0].cost_nanos
    assert owed_nanos("beta") - before["beta"] == receipt.amount_nanos
    assert verify(shards=[customer.organization.shard]) == []
    assert customer.balance_nanos() == 10_000_000_000 - receipt.amount_nanos


def test_an_endpoint_that_speaks_in_time_is_alone(customer, measured):
    assert provider_of(customer.stream(provider=PROVIDER, max_tokens=20)) == "Alpha"

    (receipt,) = customer.receipts()
    assert attempts_of(receipt) == [("alpha", 200, "")]


def test_the_first_may_still_win_after_the_second_has_started(customer, measured):
    events = customer.stream(messages=ask("[[simulate: first_token_ms=500]] Hi"), provider=PROVIDER, max_tokens=20)

    assert provider_of(events) == "Alpha"
    (receipt,) = customer.receipts()
    assert attempts_of(receipt) == [("beta", 0, "hedged"), ("alpha", 200, "")]
    assert receipt.cost_nanos == receipt.amount_nanos + receipt.attempts[0].cost_nanos


def test_a_client_that_leaves_during_the_race_pays_nothing_and_leaves_no_hold(customer, measured):
    before = customer.balance_nanos()
    body = {"model": "test/chat", "messages": ask("[[simulate: first_token_ms=5000]] Hi"), "provider": PROVIDER, "stream": True}

    with customer.stack.client.stream("POST", "/api/v1/chat/completions", json=body, headers=customer.headers) as answer:
        assert next(answer.iter_raw()).startswith(b":")  # a sign of life, sent while both are silent

    assert customer.balance_nanos() == before
    (receipt,) = customer.receipts()
    assert (receipt.amount_nanos, receipt.attempts) == (0, ())


def test_a_whole_answer_is_hedged_too_and_its_loser_is_priced_as_if_it_had_finished(customer, measured):
    began = time.monotonic()
    text = "[[simulate: first_token_ms=2500 only=alpha]] Hi"
    answer = customer.post(messages=ask(text), provider=PROVIDER, max_tokens=20)

    assert time.monotonic() - began < 1.5
    assert answer.json()["provider"] == "Beta"
    (receipt,) = customer.receipts()
    assert attempts_of(receipt) == [("alpha", 0, "hedged"), ("beta", 200, "")]
    tokens_in, tokens_out = receipt.meters["input_tokens"], receipt.meters["output_tokens"]
    assert receipt.amount_nanos == (4 * (PROMPT_PICOS * tokens_in + COMPLETION_PICOS * tokens_out) + 500) // 1000
    lost_nanos = (PROMPT_PICOS * tokens_in + COMPLETION_PICOS * tokens_out + 500) // 1000
    assert receipt.attempts[0].cost_nanos == lost_nanos
    assert receipt.cost_nanos == receipt.amount_nanos + lost_nanos
    assert customer.balance_nanos() == 10_000_000_000 - receipt.amount_nanos
    assert verify(shards=[customer.organization.shard]) == []


def test_a_whole_answer_in_time_is_alone_and_the_first_may_win_late(customer, measured):
    assert customer.post(provider=PROVIDER, max_tokens=20).json()["provider"] == "Alpha"
    assert (
        customer.post(messages=ask("[[simulate: first_token_ms=700]] Hi"), provider=PROVIDER, max_tokens=20).json()["provider"] == "Alpha"
    )

    found = sorted(attempts_of(receipt) for receipt in customer.receipts())
    assert found == [[("alpha", 200, "")], [("beta", 0, "hedged"), ("alpha", 200, "")]]


def test_whole_answers_that_fail_are_followed_as_ever(customer, measured):
    answer = customer.post(messages=ask("[[simulate: status=503 only=alpha]] Hi"), provider=PROVIDER, max_tokens=20)
    assert answer.json()["provider"] == "Beta"

    answer = customer.post(messages=ask("[[simulate: status=503]] Hi"), provider=PROVIDER)
    assert answer.status_code == 503
    assert len(answer.json()["error"]["metadata"]["previous_errors"]) == 1


def test_a_whole_answer_is_not_hedged_without_the_wish(customer, measured):
    text = "[[simulate: first_token_ms=700 only=alpha]] Hi"
    assert customer.post(messages=ask(text), provider={"order": ["alpha", "beta"]}).json()["provider"] == "Alpha"

    (receipt,) = customer.receipts()
    assert attempts_of(receipt) == [("alpha", 200, "")]


def test_a_policy_hedges_whole_answers(customer, measured):
    presets.save_version(organization=customer.organization, kind="policy", slug="quick", config={"hedge": True}, by=None)
    text = "[[simulate: first_token_ms=2500 only=alpha]] Hi"
    answer = customer.post(messages=ask(text), provider={"order": ["alpha", "beta"], "policy": "quick"}, max_tokens=20)

    assert answer.json()["provider"] == "Beta"


def test_without_the_wish_nothing_is_hedged(customer, measured):
    events = customer.stream(messages=ask("[[simulate: first_token_ms=700 only=alpha]] Hi"), provider={"order": ["alpha", "beta"]})

    assert provider_of(events) == "Alpha"
    (receipt,) = customer.receipts()
    assert attempts_of(receipt) == [("alpha", 200, "")]


def test_a_first_endpoint_that_fails_at_once_is_followed_as_ever(customer, measured):
    events = customer.stream(messages=ask("[[simulate: status=503 only=alpha]] Hi"), provider=PROVIDER, max_tokens=20)

    assert provider_of(events) == "Beta"
    (receipt,) = customer.receipts()
    assert attempts_of(receipt)[-1] == ("beta", 200, "")
    assert attempts_of(receipt)[0][:2] == ("alpha", 503)


def test_both_failing_is_the_error_of_the_last(customer, measured):
    answer = customer.post(messages=ask("[[simulate: status=503]] Hi"), provider=PROVIDER, stream=True)

    assert answer.status_code == 503
    assert len(answer.json()["error"]["metadata"]["previous_errors"]) == 1


def test_a_dry_run_names_the_second_and_when_it_starts(customer, measured):
    body = {"model": "test/chat", "messages": ask("Hi"), "provider": PROVIDER, "stream": True}

    def hedge(**fields):
        answer = customer.stack.client.post("/api/v1/route/explain", json={**body, **fields}, headers=customer.headers)
        return answer.json()["data"]["hedge"]

    assert hedge()["endpoint_id"] == "test/chat@beta"
    assert 100 <= hedge()["after_ms"] < 200
    assert hedge(stream=False)["endpoint_id"] == "test/chat@beta"
    assert 100 <= hedge(stream=False)["after_ms"] < 200
    assert hedge(provider={"order": ["alpha", "beta"]}) is None
    assert hedge(provider={"order": ["alpha"]}) is None


def test_an_endpoint_is_given_five_seconds_until_twenty_streams_have_been_measured():
    statistics = Statistics()
    health, candidate = EndpointHealth(statistics=statistics), make_candidate("a")
    assert hedge_after_s(health, candidate) == UNMEASURED_S == 5.0
    for count, expected in ((MEASURED_MIN - 1, True), (1, False)):
        for _ in range(count):
            statistics.record(Sample(candidate.endpoint.id, OK, first_token_ms=300, total_ms=400))
        statistics.merge(statistics.take(), time.time())
        statistics.refresh()
        assert (hedge_after_s(health, candidate) == UNMEASURED_S) is expected


def test_a_whole_answer_is_given_half_a_minute_until_twenty_have_been_measured():
    statistics = Statistics()
    health, candidate = EndpointHealth(statistics=statistics), make_candidate("a")
    assert hedge_after_s(health, candidate, streamed=False) == UNMEASURED_WHOLE_S == 30.0
    for _ in range(MEASURED_MIN):
        statistics.record(Sample(candidate.endpoint.id, OK, total_ms=4_000))
    statistics.merge(statistics.take(), time.time())
    statistics.refresh()
    assert 3.8 < hedge_after_s(health, candidate, streamed=False) < 4.2
    assert hedge_after_s(health, candidate) == UNMEASURED_S


@pytest.mark.parametrize(("kind", "hedged"), [("chat", True), ("embedding", True), ("image", False), ("transcription", False)])
def test_only_what_is_billed_in_tokens_is_hedged(kind, hedged):
    assert can_hedge(ChatRequest(body={}, kind=kind)) is hedged


def test_the_second_is_up_of_another_provider_if_there_is_one_and_of_the_same_model():
    health = EndpointHealth()
    first, sibling = make_candidate("a"), make_candidate("a", tag="a/turbo")
    down, good, other = make_candidate("b"), make_candidate("c"), make_candidate("d", model="author/other")
    for _ in range(3):
        health.failure(down.endpoint.id)

    assert second_of([first, sibling, down, good], health) is good
    assert second_of([first, sibling, down], health) is sibling
    assert second_of([first, down, other], health) is None


def test_a_losers_silence_counts_only_when_it_says_something_of_the_tail():
    statistics = Statistics()
    assert lost_sample(statistics, "a", 50).first_token_ms == 50
    for _ in range(100):
        statistics.record(Sample("a", OK, first_token_ms=300, total_ms=400))
    statistics.merge(statistics.take(), time.time())
    statistics.refresh()
    assert [lost_sample(statistics, "a", silent_ms).first_token_ms for silent_ms in (50, 250, 600)] == [0, 0, 600]


def test_a_whole_answer_that_lost_counts_among_whole_answers():
    statistics = Statistics()
    for _ in range(100):
        statistics.record(Sample("a", OK, total_ms=300))
    statistics.merge(statistics.take(), time.time())
    statistics.refresh()

    lost = [lost_sample(statistics, "a", silent_ms, streamed=False) for silent_ms in (50, 600)]
    assert [(one.first_token_ms, one.total_ms) for one in lost] == [(0, 0), (0, 600)]
    for one in lost:
        statistics.record(one)
    statistics.merge(statistics.take(), time.time())
    statistics.refresh()
    assert statistics.figures("a").whole_answers == 101
