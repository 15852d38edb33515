"""Whole answers through the real path: simulated provider, real stores, real books."""

import threading
import time

import pytest

from billing import queries
from billing.money import NANOS_PER_USD
from gateway.simulator.tokens import count_tokens
from tests.gateway.relay.conftest import COMPLETION_PICOS, PROMPT_PICOS, cost_nanos


def priced(usage, *, factor=1):
    picos = factor * (usage["prompt_tokens"] * PROMPT_PICOS + usage["completion_tokens"] * COMPLETION_PICOS)
    return (picos + 500) // 1000


def await_receipts(customer):
    """Return the receipts as soon as there are any: a free answer holds nothing, so no balance tells when the money store has it."""
    deadline = time.monotonic() + 20
    while not (receipts := customer.receipts()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return receipts


def test_an_answer_costs_what_its_tokens_cost_and_every_book_says_the_same(customer):
    before = customer.balance_nanos()

    answer = customer.post()

    body = answer.json()
    usage = body["usage"]
    charge = cost_nanos(usage)
    assert answer.status_code == 200
    assert charge == priced(usage) > 0
    assert usage["completion_tokens"] == count_tokens(body["choices"][0]["message"]["content"])
    assert before - customer.balance_nanos() == charge
    assert queries.key_usage(customer.organization, [customer.key])[customer.key.pk].spent_nanos == charge
    (receipt,) = customer.receipts()
    assert receipt.amount_nanos == charge
    assert before - customer.balance_nanos() == charge
    assert queries.total_usage_nanos(customer.organization) == charge


def test_an_answer_has_the_shape_that_clients_expect(customer):
    answer = customer.post()

    body = answer.json()
    assert answer.headers["x-generation-id"] == body["id"]
    assert body["id"].startswith("gen-")
    assert (body["object"], body["model"], body["provider"]) == ("chat.completion", "test/chat", "Alpha")
    assert body["choices"][0]["finish_reason"] == "stop"
    assert body["choices"][0]["message"]["role"] == "assistant"
    assert answer.headers["cache-control"] == "private, no-store"


@pytest.mark.parametrize("model", ["test/claude", "test/gemini"])
def test_other_wire_formats_answer_in_the_clients_own(customer, model):
    body = customer.post(model=model).json()

    assert body["model"] == model
    assert body["choices"][0]["message"]["content"]
    assert cost_nanos(body["usage"]) == priced(body["usage"]) > 0


def test_a_free_model_is_free_and_leaves_a_receipt(customer):
    before = customer.balance_nanos()

    answer = customer.post(model="test/free")

    assert cost_nanos(answer.json()["usage"]) == 0
    (receipt,) = await_receipts(customer)
    assert receipt.amount_nanos == 0
    assert customer.balance_nanos() == before


def test_a_dead_endpoint_is_replaced_and_only_the_one_that_answered_is_charged(customer):
    answer = customer.post(model="test/shaky", provider={"order": ["dead"]})

    body = answer.json()
    assert body["provider"] == "Beta"
    assert cost_nanos(body["usage"]) == priced(body["usage"], factor=4)
    (receipt,) = customer.receipts()
    assert [(attempt.provider, attempt.status) for attempt in receipt.attempts] == [("dead", 0), ("beta", 200)]


def test_fallback_models_are_tried_in_order(customer):
    body = customer.post(model="test/dead", models=["test/dead", "test/free"]).json()

    assert body["model"] == "test/free"


def test_when_every_endpoint_fails_the_last_reason_is_told_and_nothing_is_charged(customer):
    before = customer.balance_nanos()

    answer = customer.post(model="test/dead")

    error = answer.json()["error"]
    assert answer.status_code == 502
    assert error["code"] == 502
    assert error["metadata"]["error_type"] == "provider_unavailable"
    assert error["metadata"]["provider_name"] == "Dead"
    assert error["metadata"]["retryable"] is True
    assert customer.balance_nanos() == before
    (receipt,) = customer.receipts()
    assert (receipt.status, receipt.amount_nanos) == ("error", 0)


def test_a_provider_that_fails_is_replaced_by_the_next(customer):
    words = "[[simulate: status=503 only=alpha]] hello"

    body = customer.post(messages=[{"role": "user", "content": words}], provider={"order": ["alpha"]}).json()

    assert body["provider"] == "Beta"


def test_a_callers_mistake_is_not_tried_elsewhere(customer):
    words = "[[simulate: status=400]] hello"

    answer = customer.post(messages=[{"role": "user", "content": words}], provider={"order": ["alpha"]})

    assert answer.status_code == 400
    assert answer.json()["error"]["metadata"]["provider_name"] == "Alpha"
    (receipt,) = customer.receipts()
    assert len(receipt.attempts) == 1


def test_a_refused_credential_of_ours_is_masked(customer):
    words = "[[simulate: status=401]] hello"

    answer = customer.post(messages=[{"role": "user", "content": words}], provider={"only": ["alpha"]})

    assert answer.status_code == 502
    assert answer.json()["error"]["message"] == "Alpha: the provider refused the operator's credential or account"


def test_missing_usage_is_estimated_and_marked(customer):
    answer = customer.post(messages=[{"role": "user", "content": "[[simulate: missing_usage]] hello"}])

    usage = answer.json()["usage"]
    assert usage["completion_tokens"] > 0
    assert cost_nanos(usage) == priced(usage) > 0
    (receipt,) = customer.receipts()
    assert receipt.is_estimate is True


def test_an_explicit_zero_is_not_missing(customer):
    answer = customer.post(messages=[{"role": "user", "content": "[[simulate: zero_usage]] hello"}])

    assert cost_nanos(answer.json()["usage"]) == 0
    (receipt,) = await_receipts(customer)
    assert receipt.is_estimate is False


def test_an_empty_answer_is_free(customer):
    before = customer.balance_nanos()

    answer = customer.post(messages=[{"role": "user", "content": "[[simulate: empty]] hello"}])

    assert answer.status_code == 200
    assert cost_nanos(answer.json()["usage"]) == 0
    assert customer.balance_nanos() == before


def test_malformed_answers_are_a_502_when_nobody_else_can_help(customer):
    answer = customer.post(messages=[{"role": "user", "content": "[[simulate: malformed]] hello"}], provider={"only": ["alpha"]})

    assert answer.status_code == 502
    assert answer.json()["error"]["metadata"]["source"] == "provider"


def test_a_key_limit_is_never_overspent_however_many_requests_run_at_once(new_customer):
    limit_nanos = 3_000_000  # 0.003 USD: a few holds at once, some more one after the other
    customer = new_customer(limit_nanos=limit_nanos)
    results = []

    def spend():
        for _ in range(5):
            answer = customer.post(max_tokens=20)
            results.append((answer.status_code, cost_nanos(answer.json()["usage"]) if answer.status_code == 200 else 0))

    threads = [threading.Thread(target=spend) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert {status for status, _ in results} == {200, 402}
    spent = sum(cost for _, cost in results)
    assert 0 < spent <= limit_nanos
    assert queries.key_usage(customer.organization, [customer.key])[customer.key.pk].spent_nanos == spent


def test_a_balance_is_never_overspent_and_the_refusal_says_what_is_missing(new_customer):
    customer = new_customer(credit_nanos=1_000_000)

    answer = customer.post(max_tokens=16_000)

    error = answer.json()["error"]
    assert answer.status_code == 402
    assert error["metadata"]["limit_source"] == "credits"
    assert error["metadata"]["available_usd"] == "0.001"
    assert error["metadata"]["error_type"] == "payment_required"
    assert "/credits" in error["metadata"]["remedy_hint"]
    assert customer.balance_nanos() == 1_000_000


def test_without_max_tokens_a_low_balance_caps_the_answer_instead_of_refusing_it(new_customer):
    # 4,096 output tokens and the prompt's bound fit into 5 cents; the endpoint's 16,000 tokens do not.
    customer = new_customer(credit_nanos=NANOS_PER_USD // 20)

    answer = customer.post(messages=[{"role": "user", "content": "[[simulate: big=5000]] hello"}])

    body = answer.json()
    assert answer.status_code == 200
    assert body["usage"]["completion_tokens"] == 4096
    assert body["choices"][0]["finish_reason"] == "length"
    assert customer.balance_nanos() >= 0


def test_tools_are_called_with_arguments_that_parse(customer):
    tool = {
        "type": "function",
        "function": {
            "name": "get_weather",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
        },
    }

    choice = customer.post(tools=[tool]).json()["choices"][0]

    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["tool_calls"][0]["function"]["name"] == "get_weather"


def test_an_endpoint_that_cannot_be_paid_gives_way_to_a_cheaper_one(new_customer):
    # Beta comes first and needs 16.4 cents and more for 4,096 tokens; Alpha needs a quarter of that.
    customer = new_customer(credit_nanos=NANOS_PER_USD // 20)

    body = customer.post(max_tokens=4096, provider={"order": ["beta"]}).json()

    assert body["provider"] == "Alpha"
