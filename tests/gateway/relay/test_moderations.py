"""POST /api/v1/moderations through the real path: the verdicts, their price by the token or none, and what is refused."""

import openai
import pytest

from tests.gateway.relay.conftest import cost_nanos
from tests.gateway.relay.units import TEXT_PICOS


def ask(customer, **fields):
    body = {"model": "test/judge", "input": "A road.", "provider": {"order": ["alpha"]}, **fields}
    return customer.stack.client.post("/api/v1/moderations", json=body, headers=customer.headers)


def test_each_text_has_its_verdict_and_costs_its_tokens(customer):
    before = customer.balance_nanos()

    body = ask(customer, input=["A road of violence", "A road."]).json()

    assert [one["flagged"] for one in body["results"]] == [True, False]
    assert body["results"][0]["categories"]["violence"] is True
    assert cost_nanos(body["usage"]) == (5 + 2) * TEXT_PICOS // 1000 == before - customer.balance_nanos()
    (receipt,) = customer.receipts()
    assert (receipt.api_type, receipt.meters) == ("moderation", {"input_tokens": 7, "requests": 1})
    assert receipt.hold_nanos >= receipt.amount_nanos


def test_without_a_model_it_is_the_free_one(new_customer):
    customer = new_customer(credit_nanos=0)

    body = ask(customer, model=None, provider={}).json()

    assert (body["model"], cost_nanos(body["usage"])) == ("openai/omni-moderation-latest", 0)


def test_parts_are_judged_together_and_pictures_only_where_they_are_seen(customer):
    parts = [{"type": "text", "text": "hate"}, {"type": "text", "text": "a road"}]

    assert [one["flagged"] for one in ask(customer, input=parts).json()["results"]] == [True]
    answer = ask(customer, input=[{"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}])
    assert (answer.status_code, "text only" in answer.text) == (400, True)


def test_a_provider_that_fails_is_replaced_and_one_that_reports_nothing_is_estimated(customer):
    assert ask(customer, input="[[simulate: status=503 only=alpha]] x").json()["provider"] == "Beta"

    answer = ask(customer, input="[[simulate: missing_usage]] x")

    assert cost_nanos(answer.json()["usage"]) > 0
    assert customer.receipts()[0].is_estimate is True


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"input": None}, "input"),
        ({"input": ""}, "input"),
        ({"input": []}, "input"),
        ({"input": [""]}, "input[0]"),
        ({"input": [{"type": "video_url"}]}, "input[0].type"),
        ({"input": [{"type": "text"}]}, "input[0].text"),
        ({"input": [{"type": "image_url"}]}, "input[0].image_url"),
        ({"model": "test/chat"}, "model"),
    ],
)
def test_mistakes_are_told_with_the_field_and_cost_nothing(customer, fields, param):
    before = customer.balance_nanos()

    answer = ask(customer, **fields)

    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["metadata"]["param"] == param
    assert customer.balance_nanos() == before


@pytest.mark.parametrize("word", ["malformed", "status=429", "error_in_stream"])
def test_failures_are_free(customer, word):
    before = customer.balance_nanos()

    answer = ask(customer, input=f"[[simulate: {word}]] x", provider={"only": ["alpha"]})

    assert answer.status_code in (429, 500, 502)
    assert customer.balance_nanos() == before


def test_the_official_client_reads_the_verdict(customer):
    with openai.OpenAI(base_url=f"{customer.stack.url}/api/v1", api_key=customer.secret) as client:
        answer = client.moderations.create(input="violence")

    assert (answer.results[0].flagged, answer.results[0].categories.violence) == (True, True)
