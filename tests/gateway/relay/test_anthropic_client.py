"""The official Anthropic client against a running data plane, in front of providers of every format: it must not notice the difference."""

import base64
import time

import anthropic
import pytest

MODELS = ["test/claude", "test/chat", "test/gemini", "test/bedrock"]
TOOL = {"name": "look", "description": "Look.", "input_schema": {"type": "object", "properties": {"at": {"type": "string"}}}}
PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n").decode()


@pytest.fixture
def client(customer):
    with anthropic.Anthropic(base_url=f"{customer.stack.url}/api", api_key=customer.secret, max_retries=0) as opened:
        yield opened


def hello(text="Say hello to the road."):
    return [{"role": "user", "content": text}]


@pytest.mark.parametrize("model", MODELS)
def test_a_whole_message_and_a_stream_say_and_count_the_same(client, model):
    # Two providers serve test/chat, and each names itself in what it says.
    asked = {"model": model, "max_tokens": 500, "messages": hello(), "system": "Be kind."}
    asked["extra_body"] = {"provider": {"only": ["alpha"]}} if model == "test/chat" else {}
    whole = client.messages.create(**asked)
    with client.messages.stream(**asked) as stream:
        words = "".join(stream.text_stream)
        streamed = stream.get_final_message()

    assert words == whole.content[0].text == streamed.content[0].text
    assert (whole.stop_reason, streamed.stop_reason) == ("end_turn", "end_turn")
    assert (streamed.usage.input_tokens, streamed.usage.output_tokens) == (whole.usage.input_tokens, whole.usage.output_tokens)
    assert whole.usage.output_tokens > 0


@pytest.mark.parametrize("model", MODELS)
def test_parallel_tools_are_called_streamed_and_answered(client, model):
    asked = hello("[[simulate: calls=2]] Look at the hills.")
    with client.messages.stream(model=model, max_tokens=500, messages=asked, tools=[TOOL], tool_choice={"type": "any"}) as stream:
        message = stream.get_final_message()

    calls = [block for block in message.content if block.type == "tool_use"]
    assert [(call.name, call.input) for call in calls] == [("look", {"at": "simulated"})] * 2
    assert message.stop_reason == "tool_use"
    results = [{"type": "tool_result", "tool_use_id": call.id, "content": "green"} for call in calls]
    history = [*asked, {"role": "assistant", "content": message.content}, {"role": "user", "content": results}]
    answer = client.messages.create(model=model, max_tokens=500, messages=history, tools=[TOOL])
    assert answer.stop_reason == "end_turn"


@pytest.mark.parametrize("model", MODELS)
def test_thoughts_come_with_a_signature_and_go_back(client, model):
    thinking = {"type": "enabled", "budget_tokens": 1024}
    with client.messages.stream(model=model, max_tokens=2000, messages=hello(), thinking=thinking) as stream:
        message = stream.get_final_message()

    assert message.content[0].type == "thinking"
    assert message.content[0].thinking.startswith("The prompt has about")
    history = [*hello(), {"role": "assistant", "content": message.content}, *hello("Go on.")]
    assert client.messages.create(model=model, max_tokens=2000, messages=history, thinking=thinking).stop_reason == "end_turn"


@pytest.mark.parametrize("model", MODELS)
def test_pictures_and_documents_are_read(client, model):
    content = [
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}},
        {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": PNG}},
        {"type": "text", "text": "What is this?"},
    ]
    plain = client.messages.create(model=model, max_tokens=100, messages=hello("What is this?"))
    seen = client.messages.create(model=model, max_tokens=100, messages=[{"role": "user", "content": content}])
    assert seen.usage.input_tokens > plain.usage.input_tokens + 150


def test_tokens_are_counted(client):
    assert client.messages.count_tokens(model="test/claude", messages=hello()).input_tokens > 3


def test_errors_are_the_clients_own_exceptions(client, customer):
    with pytest.raises(anthropic.BadRequestError) as bad:
        client.messages.create(model="test/claude", max_tokens=100, messages=[])
    assert bad.value.body["error"]["type"] == "invalid_request_error"
    with pytest.raises(anthropic.RateLimitError):
        client.messages.create(model="test/claude", max_tokens=100, messages=hello("[[simulate: status=429]]"))
    with pytest.raises(anthropic.AuthenticationError):
        anthropic.Anthropic(base_url=f"{customer.stack.url}/api", api_key="sk-none", max_retries=0).messages.create(
            model="test/claude", max_tokens=100, messages=hello()
        )
    broken = hello("[[simulate: error_in_stream=9 rate=200]]")
    with pytest.raises(anthropic.APIStatusError), client.messages.stream(model="test/chat", max_tokens=500, messages=broken) as stream:
        stream.get_final_message()


def test_a_client_that_leaves_stops_the_provider_within_a_second_and_pays_for_what_was_said(client, customer):
    def stats():
        return customer.stack.client.get(f"{customer.stack.simulator_url}/stats").json()

    before, balance = stats()["abandoned"], customer.balance_nanos()
    with client.messages.stream(model="test/claude", max_tokens=5000, messages=hello("[[simulate: big=4000 rate=300]]")) as stream:
        for _ in zip(stream.text_stream, range(5), strict=False):
            pass
    left_s = time.monotonic()
    while stats()["abandoned"] == before:
        assert time.monotonic() - left_s < 1
        time.sleep(0.02)
    assert 0 < balance - customer.balance_nanos() < 4000 * 10_000
