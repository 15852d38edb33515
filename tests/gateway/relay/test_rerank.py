"""POST /api/v1/rerank through the real path: the ranking, its price by search or by token, and what is refused."""

import pytest

from tests.gateway.relay.conftest import cost_nanos
from tests.gateway.relay.units import RERANK_TOKEN_PICOS, SEARCH_PICOS

DOCUMENTS = ["A hill of clover.", "The road goes on and on.", {"text": "Where the road ends."}]


def ask(customer, **fields):
    # In order, so that the draw by price does not decide what a test sees.
    order = {"order": ["cohere"]}
    body = {"model": "test/rank-searches", "query": "the road goes", "documents": DOCUMENTS, "provider": order, **fields}
    return customer.stack.client.post("/api/v1/rerank", json=body, headers=customer.headers)


def test_a_ranking_is_best_first_and_has_the_documents_as_they_were_sent(customer):
    body = ask(customer, top_n=2).json()

    assert [(one["index"], one["document"]) for one in body["results"]] == [
        (1, {"text": "The road goes on and on."}),
        (2, {"text": "Where the road ends."}),
    ]
    assert body["results"][0]["relevance_score"] == 1
    assert (body["model"], body["provider"]) == ("test/rank-searches", "Cohere")


def test_a_ranking_sold_by_the_search_costs_its_searches(customer):
    before = customer.balance_nanos()

    answer = ask(customer, documents=["word " * 600] * 150)

    body = answer.json()
    # 3,000 bytes are 750 tokens, two pieces of 500: 300 pieces, 3 searches.
    assert body["usage"]["search_units"] == 3
    assert cost_nanos(body["usage"]) == 3 * SEARCH_PICOS // 1000 == before - customer.balance_nanos()
    (receipt,) = customer.receipts()
    assert (receipt.api_type, receipt.amount_nanos, receipt.status) == ("rerank", cost_nanos(body["usage"]), "ok")
    assert receipt.meters == {"searches": 3, "requests": 1}
    assert receipt.hold_nanos >= receipt.amount_nanos


@pytest.mark.parametrize("model", ["test/rank-tokens", "test/rank-voyage"])
def test_a_ranking_sold_by_the_token_reads_the_query_with_every_document(customer, model):
    before = customer.balance_nanos()

    body = ask(customer, model=model, query="four", documents=["four four", "four four four "]).json()

    assert body["usage"]["total_tokens"] == (1 + 3) + (1 + 4)
    assert cost_nanos(body["usage"]) == 9 * RERANK_TOKEN_PICOS // 1000 == before - customer.balance_nanos()
    assert customer.receipts()[0].meters == {"input_tokens": 9, "requests": 1}


def test_a_provider_that_fails_is_replaced_and_one_that_reports_nothing_is_estimated(customer):
    answer = ask(customer, query="[[simulate: status=503 only=cohere]] road")
    assert (answer.status_code, answer.json()["provider"]) == (200, "Alpha")
    # That provider reports tokens, and searches are what is sold: they are counted here.
    assert answer.json()["usage"]["search_units"] == 1
    assert customer.receipts()[0].is_estimate is True

    answer = ask(customer, query="[[simulate: missing_usage]] road")

    assert cost_nanos(answer.json()["usage"]) == SEARCH_PICOS // 1000
    assert customer.receipts()[0].is_estimate is True


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"query": ""}, "query"),
        ({"query": None}, "query"),
        ({"documents": []}, "documents"),
        ({"documents": [3]}, "documents[0]"),
        ({"documents": ["a", {}]}, "documents[1]"),
        ({"top_n": 0}, "top_n"),
        ({"model": "test/chat"}, "model"),
        ({"model": None}, "model"),
        ({"provider": {"only": 3}}, "provider.only"),
    ],
)
def test_mistakes_are_told_with_the_field_and_cost_nothing(customer, fields, param):
    before = customer.balance_nanos()

    answer = ask(customer, **fields)

    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["metadata"]["param"].startswith(param)
    assert customer.balance_nanos() == before


def test_pictures_are_refused_by_models_that_read_text(customer):
    answer = ask(customer, documents=[{"image": "https://example.com/a.png"}])

    assert answer.status_code == 400
    assert "documents[0]" in answer.json()["error"]["message"]


@pytest.mark.parametrize("word", ["malformed", "status=429", "status=400", "error_in_stream"])
def test_failures_are_free(customer, word):
    before = customer.balance_nanos()

    answer = ask(customer, query=f"[[simulate: {word}]] road", provider={"only": ["cohere"]})

    assert answer.status_code in (400, 429, 500, 502)
    assert customer.balance_nanos() == before


def test_what_cannot_be_covered_is_refused_before_the_provider_hears_of_it(new_customer):
    customer = new_customer(credit_nanos=SEARCH_PICOS // 1000 - 1)

    answer = ask(customer)

    assert answer.status_code == 402
    assert customer.receipts() == []


def test_the_router_s_own_client_reads_the_answer(customer):
    from openrouter import OpenRouter  # noqa: PLC0415 -- slow to import

    with OpenRouter(api_key=customer.secret, server_url=f"{customer.stack.url}/api/v1") as client:
        answer = client.rerank.rerank(model="test/rank-searches", query="the road", documents=["a road", "the road"])

    assert [one.index for one in answer.results] == [1, 0]
    assert answer.usage.search_units == 1


def test_a_dry_run_tells_what_a_ranking_would_hold(customer):
    answer = customer.stack.client.post(
        "/api/v1/route/explain",
        json={"model": "test/rank-searches", "query": "a", "documents": ["b"] * 101, "provider": {"order": ["cohere"]}},
        headers=customer.headers,
    )

    assert answer.status_code == 200, answer.text
    # At one byte a token, 101 documents are two searches.
    assert answer.json()["data"]["hold"]["amount"]["nanos"] == str(2 * SEARCH_PICOS // 1000)
    assert customer.receipts() == []
