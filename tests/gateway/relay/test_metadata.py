"""Parameters that an endpoint does not take: left out and told of, or refused, as the client wishes; and the road it took, if it asks."""

import pytest

from tests.gateway.dialects.conversations import read_named_events
from tests.gateway.relay.conftest import read_events

ASKS = {"X-OpenRouter-Metadata": "Enabled"}
HELLO = [{"role": "user", "content": "Say hello to the road."}]


def post(customer, path="/api/v1/chat/completions", headers=None, **body):
    return customer.stack.client.post(path, json=body, headers={**customer.headers, **(headers or {})})


@pytest.mark.parametrize("stream", [False, True])
def test_what_was_left_out_is_named_in_a_header(customer, stream):
    answer = post(customer, model="test/claude", messages=HELLO, seed=1, logit_bias={"1": 1}, temperature=0.5, stream=stream)
    assert answer.status_code == 200
    assert sorted(answer.headers["x-tollway-dropped-parameters"].split(", ")) == ["logit_bias", "seed"]
    assert "x-tollway-dropped-parameters" not in post(customer, model="test/claude", messages=HELLO, temperature=0.5).headers


def test_what_would_be_left_out_is_refused_where_all_parameters_are_required(customer):
    before = customer.balance_nanos()
    answer = post(customer, model="test/claude", messages=HELLO, seed=1, provider={"require_parameters": True})
    assert answer.status_code == 400
    assert "seed" in answer.json()["error"]["message"]
    assert customer.balance_nanos() == before
    assert post(customer, model="test/chat", messages=HELLO, seed=1, provider={"require_parameters": True}).status_code == 200


def test_the_road_is_told_to_a_client_that_asks_by_header(customer):
    body = {"model": "test/claude", "messages": HELLO, "seed": 1}
    metadata = post(customer, headers=ASKS, **body).json()["openrouter_metadata"]
    assert metadata["params"] == {"dropped": ["seed"]}
    assert metadata["endpoints"] == {"total": 1, "available": [{"provider": "Clio", "model": "test/claude", "selected": True}]}
    assert (metadata["requested"], metadata["strategy"], metadata["attempt"], metadata["is_byok"]) == ("test/claude", "direct", 1, False)
    assert "openrouter_metadata" not in post(customer, **body).json()
    assert "openrouter_metadata" not in post(customer, headers={"X-OpenRouter-Metadata": "no"}, **body).json()


def test_failed_tries_and_other_models_are_part_of_the_road(customer):
    answer = post(customer, headers=ASKS, models=["test/dead", "test/claude"], messages=HELLO)
    metadata = answer.json()["openrouter_metadata"]
    assert (metadata["requested"], metadata["strategy"], metadata["attempt"]) == ("test/dead", "fallback", 2)
    assert [(one["provider"], one["status"]) for one in metadata["attempts"]] == [("dead", 0), ("clio", 200)]


@pytest.mark.parametrize(
    ("path", "body", "where"),
    [
        ("/api/v1/chat/completions", {"messages": HELLO}, lambda text: read_events(text)[-2]),
        ("/api/v1/messages", {"messages": HELLO, "max_tokens": 50}, lambda text: read_named_events(text.encode())[-1]),
        ("/api/v1/responses", {"input": "hi"}, lambda text: read_named_events(text.encode())[-1]["response"]),
    ],
)
def test_a_stream_tells_the_road_at_its_end(customer, path, body, where):
    answer = post(customer, path, ASKS, model="test/chat", provider={"order": ["alpha"]}, stream=True, **body)
    assert where(answer.text)["openrouter_metadata"]["summary"] == "available=2, selected=Alpha"
