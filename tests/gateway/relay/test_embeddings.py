"""POST /api/v1/embeddings through the real path: vectors, their price by prompt tokens, and what is refused."""

import base64
import struct

import openai
import pytest

from tests.gateway.relay.conftest import EMBED_PICOS, cost_nanos

HOSTS = ["test/cohere-embed", "test/voyage-embed", "test/multimodal-embed", "test/context-embed", "test/jina-embed"]
VERTEX = ["test/gemini-embedding-2", "test/text-embedding-005"]
MODELS = ["test/embed", "test/gem-embed", *HOSTS, *VERTEX]


def ask(customer, **fields):
    body = {"model": "test/embed", "input": "The road goes on.", "provider": {"order": ["alpha"]}, **fields}
    return customer.stack.client.post("/api/v1/embeddings", json=body, headers=customer.headers)


@pytest.mark.parametrize("model", MODELS)
def test_an_embedding_costs_its_prompt_tokens_though_nothing_was_said(customer, model):
    before = customer.balance_nanos()

    answer = ask(customer, model=model, input=["The road goes on. " * 500, "And on."])

    body = answer.json()
    assert answer.status_code == 200, answer.text
    assert (body["object"], body["model"], body["id"]) == ("list", model, answer.headers["x-generation-id"])
    assert [(one["object"], one["index"], len(one["embedding"])) for one in body["data"]] == [("embedding", 0, 256), ("embedding", 1, 256)]
    usage = body["usage"]
    assert usage["prompt_tokens"] == usage["total_tokens"] == 2250 + 2
    assert cost_nanos(usage) == 2252 * EMBED_PICOS // 1000 == before - customer.balance_nanos()
    (receipt,) = customer.receipts()
    assert (receipt.api_type, receipt.amount_nanos, receipt.status) == ("embeddings", cost_nanos(usage), "ok")
    assert receipt.meters == {"input_tokens": 2252, "requests": 1}
    assert receipt.hold_nanos >= receipt.amount_nanos


@pytest.mark.parametrize("model", MODELS)
def test_numbers_and_base64_are_the_same_vector(customer, model):
    numbers = ask(customer, model=model, dimensions=64).json()["data"][0]["embedding"]
    packed = ask(customer, model=model, dimensions=64, encoding_format="base64").json()["data"][0]["embedding"]

    assert list(struct.unpack("<64f", base64.b64decode(packed))) == numbers
    assert abs(sum(number * number for number in numbers) - 1) < 1e-5


def test_the_official_client_gets_vectors(customer):
    with openai.OpenAI(base_url=f"{customer.stack.url}/api/v1", api_key=customer.secret) as client:
        answer = client.embeddings.create(model="test/embed", input=["a", "b"], dimensions=32)

    assert [len(one.embedding) for one in answer.data] == [32, 32]
    assert answer.usage.prompt_tokens == 2


def test_token_ids_are_counted_one_by_one(customer):
    assert ask(customer, input=[[1, 2, 3], [4, 5]]).json()["usage"]["prompt_tokens"] == 5


def test_a_provider_that_fails_is_replaced_and_one_that_reports_nothing_is_estimated(customer):
    assert ask(customer, input="[[simulate: status=503 only=alpha]] x").json()["provider"] == "Beta"

    answer = ask(customer, input="[[simulate: missing_usage]] x")

    usage = answer.json()["usage"]
    assert cost_nanos(usage) == usage["prompt_tokens"] * EMBED_PICOS // 1000 > 0
    assert customer.receipts()[0].is_estimate is True


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"input": None}, "input"),
        ({"input": ""}, "input"),
        ({"input": []}, "input"),
        ({"input": ["a", 1]}, "input"),
        ({"dimensions": 0}, "dimensions"),
        ({"encoding_format": "hex"}, "encoding_format"),
        ({"model": "test/chat"}, "model"),
        ({"model": None}, "model"),
    ],
)
def test_mistakes_are_told_with_the_field_and_cost_nothing(customer, fields, param):
    before = customer.balance_nanos()

    answer = ask(customer, **fields)

    assert answer.status_code == 400
    assert answer.json()["error"]["metadata"]["param"] == param
    assert customer.balance_nanos() == before


@pytest.mark.parametrize("model", ["test/gem-embed", *HOSTS])
def test_a_format_that_cannot_take_token_ids_refuses_them(customer, model):
    answer = ask(customer, model=model, input=[[1, 2, 3]], provider={})

    assert answer.status_code == 400
    assert "input[0]" in answer.json()["error"]["message"]


def test_failures_and_malformed_vectors_are_free(customer):
    before = customer.balance_nanos()

    assert ask(customer, input="[[simulate: malformed]] x", provider={"only": ["alpha"]}).status_code == 502
    assert ask(customer, input="[[simulate: status=429]] x", provider={"only": ["alpha"]}).status_code == 429
    assert customer.balance_nanos() == before


@pytest.mark.parametrize(
    ("model", "texts", "method"), [(VERTEX[0], 1, "embedContent"), (VERTEX[0], 2, "batchEmbedContents"), (VERTEX[1], 2, "predict")]
)
def test_vertex_is_asked_as_its_own_client_asks_it(customer, model, texts, method):
    answer = ask(customer, model=model, input=["The road goes on."] * texts, dimensions=64, provider={})
    assert answer.status_code == 200, answer.text
    assert [len(one["embedding"]) for one in answer.json()["data"]] == [64] * texts
    call = customer.stack.recorder.last("/p/google-vertex/")
    assert call.path.endswith(f"/publishers/google/models/{model.partition('/')[2]}:{method}")
    assert call.headers["authorization"].startswith("Bearer ya29.")


@pytest.mark.parametrize("model", VERTEX)
def test_what_vertex_did_not_count_is_estimated(customer, model):
    assert ask(customer, model=model, input="[[simulate: missing_usage]] a road", provider={}).status_code == 200
    (receipt,) = customer.receipts()
    assert (receipt.is_estimate, receipt.amount_nanos > 0) == (True, True)
