"""The official OpenAI client, pointed at the simulator: what it parses is what a provider would send."""

import openai
import pytest

HELLO = [{"role": "user", "content": "hello"}]
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {"x": {"type": "integer"}}}}}


@pytest.fixture
def client(simulator_url):
    with openai.OpenAI(base_url=f"{simulator_url}/p/openai/v1", api_key="none", max_retries=0) as opened:
        yield opened


def test_a_whole_answer(client):
    answer = client.chat.completions.create(model="sim-1", messages=HELLO)
    assert "simulated" in answer.choices[0].message.content
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


def test_a_stream_ends_with_usage_when_asked(client):
    chunks = list(client.chat.completions.create(model="sim-1", messages=HELLO, stream=True, stream_options={"include_usage": True}))
    assert chunks[-1].choices == []
    assert chunks[-1].usage.completion_tokens > 0
    assert all(chunk.usage is None for chunk in chunks[:-1])
    whole = client.chat.completions.create(model="sim-1", messages=HELLO)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks[:-1]) == whole.choices[0].message.content


def test_a_stream_has_no_usage_when_not_asked(client):
    chunks = list(client.chat.completions.create(model="sim-1", messages=HELLO, stream=True))
    assert all(chunk.usage is None and chunk.choices for chunk in chunks)


def test_streamed_tool_calls_add_up(client):
    with client.chat.completions.stream(model="sim-1", messages=HELLO, tools=[TOOL]) as stream:
        (call,) = stream.get_final_completion().choices[0].message.tool_calls
    assert (call.function.name, call.function.arguments) == ("f", '{"x":1}')


def test_errors_raise_the_clients_own_exceptions(client):
    with pytest.raises(openai.RateLimitError) as caught:
        client.chat.completions.create(model="sim-1", messages=HELLO, extra_headers={"x-simulate": "status=429"})
    assert caught.value.code == "rate_limit_exceeded"
    with pytest.raises(openai.InternalServerError):
        client.chat.completions.create(model="sim-1", messages=HELLO, extra_headers={"x-simulate": "status=503"})


def test_retries_of_the_client_get_through(client):
    patient = client.with_options(max_retries=3)
    answer = patient.chat.completions.create(
        model="sim-1", messages=HELLO, extra_headers={"x-simulate": "status=503 retry_after=0 times=2 key=client-retries"}
    )
    assert answer.choices[0].finish_reason == "stop"


def test_models_are_listed(client):
    assert [model.id for model in client.models.list()] == ["simulated"]
