"""POST /api/v1/messages through the real path, for models behind every provider format."""

import msgspec
import pytest

from tests.gateway.relay.conftest import cost_nanos

MODELS = ["test/chat", "test/claude", "test/gemini"]
TOOL = {"name": "look", "description": "Looks.", "input_schema": {"type": "object", "properties": {"at": {"type": "string"}}}}


def ask(customer, **fields):
    body = {
        "model": "test/chat",
        "max_tokens": 2000,
        "messages": [{"role": "user", "content": "Say hello to the road."}],
        "provider": {"order": ["alpha"]},
        **fields,
    }
    headers = {"x-api-key": customer.secret, "anthropic-version": "2023-06-01"}
    return customer.stack.client.post("/api/v1/messages", json=body, headers=headers)


def events_of(answer):
    """Return (name, data) of every event; the names must be those in the data."""
    events = []
    for block in answer.text.split("\n\n"):
        if not block or block.startswith(":"):
            continue
        name, _, data = block.partition("\n")
        parsed = msgspec.json.decode(data.removeprefix("data: "))
        assert name == f"event: {parsed['type']}"
        events.append(parsed)
    return events


def message_of(events):
    """Put a stream together as Anthropic's clients do, checking the order as it goes."""
    assert events[0]["type"] == "message_start"
    assert events[-1]["type"] == "message_stop"
    message, open_index, pieces = dict(events[0]["message"]), None, ""
    for event in events[1:-1]:
        if event["type"] == "content_block_start":
            assert open_index is None
            assert event["index"] == len(message["content"])
            open_index, pieces = event["index"], ""
            message["content"] = [*message["content"], dict(event["content_block"])]
        elif event["type"] == "content_block_delta":
            assert event["index"] == open_index
            block, delta = message["content"][-1], event["delta"]
            if delta["type"] == "text_delta":
                block["text"] += delta["text"]
            elif delta["type"] == "thinking_delta":
                block["thinking"] += delta["thinking"]
            elif delta["type"] == "signature_delta":
                block["signature"] = delta["signature"]
            else:
                pieces += delta["partial_json"]
        elif event["type"] == "content_block_stop":
            assert event["index"] == open_index
            if message["content"][-1]["type"] == "tool_use":
                message["content"][-1]["input"] = msgspec.json.decode(pieces or "{}")
            open_index = None
        elif event["type"] == "message_delta":
            assert open_index is None
            message |= event["delta"]
            message["usage"] = {**message["usage"], **event["usage"]}
    return message


@pytest.mark.parametrize("model", MODELS)
def test_a_message_has_anthropics_shape_its_cost_and_one_receipt(customer, model):
    before = customer.balance_nanos()

    answer = ask(customer, model=model)

    body = answer.json()
    assert answer.status_code == 200, answer.text
    assert (body["type"], body["role"], body["model"], body["stop_reason"]) == ("message", "assistant", model, "end_turn")
    assert answer.headers["x-generation-id"].removeprefix("gen-") == body["id"].removeprefix("msg_")
    assert [block["type"] for block in body["content"]] == ["text"]
    usage = body["usage"]
    assert cost_nanos(usage) == (usage["input_tokens"] * 2_500_000 + usage["output_tokens"] * 10_000_000 + 500) // 1000 > 0
    assert before - customer.balance_nanos() == cost_nanos(usage)
    (receipt,) = customer.receipts()
    assert (receipt.api_type, receipt.amount_nanos, receipt.streamed) == ("completions", cost_nanos(usage), False)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"tools": [TOOL], "messages": [{"role": "user", "content": "[[simulate: calls=3]] look around"}]},
        {"thinking": {"type": "enabled", "budget_tokens": 1024}},
        {"stop_sequences": ["simulated"]},
        {"max_tokens": 5},
    ],
    ids=["text", "tools", "thinking", "stop", "length"],
)
def test_a_stream_tells_the_same_message_as_the_whole_answer(customer, model, fields):
    whole = ask(customer, model=model, **fields).json()

    answer = ask(customer, model=model, stream=True, **fields)

    streamed = message_of(events_of(answer))
    for message in (whole, streamed):
        message.pop("id")
        # Gemini's signatures are packed with the ids of their calls, and stand beside them in a stream.
        message["content"] = [block for block in message["content"] if block["type"] != "redacted_thinking"]
        for block in message["content"]:
            if block["type"] == "tool_use":
                assert block.pop("id")  # Gemini gives none, so it is made up
    assert streamed == whole


@pytest.mark.parametrize("model", MODELS)
def test_tools_are_called_in_parallel_and_their_results_answered(customer, model):
    asked = {"role": "user", "content": "[[simulate: calls=2]] look around"}
    first = ask(customer, model=model, tools=[TOOL], messages=[asked]).json()
    assert first["stop_reason"] == "tool_use"
    calls = [block for block in first["content"] if block["type"] == "tool_use"]
    assert [(call["name"], call["input"]) for call in calls] == [("look", {"at": "simulated"})] * 2
    results = [{"type": "tool_result", "tool_use_id": call["id"], "content": "a hill"} for call in calls]

    second = ask(
        customer,
        model=model,
        tools=[TOOL],
        messages=[asked, {"role": "assistant", "content": first["content"]}, {"role": "user", "content": results}],
    )

    assert second.status_code == 200, second.text
    assert second.json()["stop_reason"] == "end_turn"


def test_thoughts_keep_their_signature_and_can_be_sent_back(customer):
    asked = {"role": "user", "content": "think"}
    thinking = {"type": "enabled", "budget_tokens": 1024}
    first = ask(customer, model="test/claude", messages=[asked], thinking=thinking).json()
    assert first["content"][0]["type"] == "thinking"
    assert first["content"][0]["signature"].startswith("sig-")

    second = ask(
        customer,
        model="test/claude",
        thinking=thinking,
        messages=[asked, {"role": "assistant", "content": first["content"]}, {"role": "user", "content": "go on"}],
    )

    assert second.status_code == 200, second.text


def test_marked_prompts_are_cached_and_reported_in_anthropics_counts(customer):
    system = [{"type": "text", "text": "Be brief. " * 300, "cache_control": {"type": "ephemeral"}}]
    model = "test/claude"

    written = ask(customer, model=model, system=system).json()["usage"]
    read = ask(customer, model=model, system=system).json()["usage"]

    assert (
        written["cache_creation"]["ephemeral_5m_input_tokens"]
        == written["cache_creation_input_tokens"]
        == read["cache_read_input_tokens"]
        > 700
    )
    assert written["input_tokens"] == read["input_tokens"]
    assert cost_nanos(written) > cost_nanos(read)


@pytest.mark.parametrize("model", ["test/chat", "test/gemini", "test/claude"])
def test_pictures_and_documents_reach_the_model(customer, model):
    content = [
        {"type": "text", "text": "What is this?"},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGVsbG8="}},
        {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "aGVsbG8="}},
    ]

    answer = ask(customer, model=model, messages=[{"role": "user", "content": content}])

    assert answer.status_code == 200, answer.text
    assert answer.json()["usage"]["input_tokens"] > 100


def test_a_stop_sequence_is_named_where_the_provider_names_it(customer):
    body = ask(customer, model="test/claude", stop_sequences=["simulated"]).json()

    assert (body["stop_reason"], body["stop_sequence"]) == ("stop_sequence", "simulated")


@pytest.mark.parametrize(
    ("fields", "status", "kind", "words"),
    [
        ({"messages": []}, 400, "invalid_request_error", "messages"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, 400, "invalid_request_error", "messages[0].content[0].text"),
        ({"messages": [{"role": "robot", "content": "x"}]}, 400, "invalid_request_error", "messages[0].role"),
        ({"max_tokens": 0}, 400, "invalid_request_error", "max_tokens"),
        ({"model": "no/such"}, 400, "invalid_request_error", "no/such"),
        ({"tools": [{"name": "x"}]}, 400, "invalid_request_error", "tools[0].input_schema"),
        ({"tools": [{"type": "bash_20250124", "name": "bash"}]}, 400, "invalid_request_error", "tools[0]"),
    ],
)
def test_mistakes_are_told_in_anthropics_shape_and_cost_nothing(customer, fields, status, kind, words):
    before = customer.balance_nanos()

    answer = ask(customer, **fields)

    body = answer.json()
    assert answer.status_code == status
    assert (body["type"], body["error"]["type"]) == ("error", kind)
    assert words in body["error"]["message"]
    assert body["request_id"] == answer.headers["x-generation-id"]
    assert customer.balance_nanos() == before


def test_a_missing_key_an_empty_account_and_a_wrong_method_are_told_in_anthropics_shape(stack, new_customer):
    assert stack.client.post("/api/v1/messages", json={}).json()["error"]["type"] == "authentication_error"
    assert ask(new_customer(credit_nanos=0)).json()["error"]["type"] == "billing_error"
    assert stack.client.get("/api/v1/messages").json()["type"] == "error"


def test_what_only_anthropic_understands_goes_to_it_as_it_came(customer):
    tool = {"type": "bash_20250124", "name": "bash"}

    answer = ask(customer, model="test/claude", tools=[tool])

    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("model", MODELS)
def test_a_failure_in_the_middle_ends_the_stream_with_an_error_event_and_is_free(customer, model):
    before = customer.balance_nanos()

    answer = ask(
        customer, model=model, stream=True, messages=[{"role": "user", "content": "[[simulate: error_in_stream=8 rate=100]] hello"}]
    )

    events = events_of(answer)
    assert events[0]["type"] == "message_start"
    assert [event["type"] for event in events].count("error") == 1
    assert events[-1]["type"] == "error"
    assert events[-1]["error"]["type"] in {"overloaded_error", "api_error"}
    assert events[-1]["error"]["error_type"]
    assert customer.balance_nanos() == before
    (receipt,) = customer.receipts()
    assert (receipt.status, receipt.amount_nanos) == ("error", 0)


def test_silence_is_covered_by_signs_of_life_and_a_late_failure_is_an_error_event(customer):
    answer = ask(customer, stream=True, messages=[{"role": "user", "content": "[[simulate: hang]] hello"}], provider={"only": ["alpha"]})

    assert answer.text.startswith(": ")
    (event,) = events_of(answer)
    assert event["error"]["type"] == "timeout_error"


def test_silence_in_the_middle_is_covered_by_pings(customer):
    answer = ask(customer, stream=True, max_tokens=3, messages=[{"role": "user", "content": "[[simulate: big=3 rate=1]] hello"}])

    names = [event["type"] for event in events_of(answer)]
    assert names[0] == "message_start"
    assert "ping" in names
    assert names[-1] == "message_stop"


def test_tokens_are_counted_without_a_charge(customer):
    before = customer.balance_nanos()

    answer = customer.stack.client.post(
        "/api/v1/messages/count_tokens",
        json={"model": "test/claude", "messages": [{"role": "user", "content": "word " * 400}]},
        headers=customer.headers,
    )

    assert answer.status_code == 200, answer.text
    assert 300 < answer.json()["input_tokens"] < 800
    assert customer.balance_nanos() == before


@pytest.mark.parametrize("model", ["test/chat", "test/claude"])
@pytest.mark.parametrize("wish", [{"reasoning": {"exclude": True}}, {"include_reasoning": False}], ids=["exclude", "include_reasoning"])
def test_hidden_thoughts_cost_what_shown_ones_do(customer, model, wish):
    thinks = {"model": model, "thinking": {"type": "enabled", "budget_tokens": 1024}}

    shown, hidden = ask(customer, **thinks).json(), ask(customer, **thinks, **wish).json()
    streamed = message_of(events_of(ask(customer, stream=True, **thinks, **wish)))

    assert [block["type"] for block in shown["content"]] == ["thinking", "text"]
    assert hidden["content"] == shown["content"][1:]
    assert [block["type"] for block in streamed["content"]] == ["text"]
    assert hidden["usage"] == shown["usage"] == streamed["usage"]
    assert shown["usage"]["output_tokens_details"]["thinking_tokens"] > 0
    assert [receipt.amount_nanos for receipt in customer.receipts()] == [cost_nanos(shown["usage"])] * 3
