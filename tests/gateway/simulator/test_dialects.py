"""The three dialects against the simulator over real HTTP: whole and streamed say the same and count the same."""

import msgspec
import pytest

from catalog.types import Usage
from gateway.dialects.assembly import Assembler
from gateway.simulator.tokens import count_tokens
from tests.gateway.dialects.builders import HELLO, request
from tests.gateway.simulator.calls import ask, ask_streamed

DIALECTS = ["chat_completions", "messages", "gemini"]
TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string"},
                "days": {"type": "integer", "minimum": 3},
                "unit": {"type": "string", "enum": ["C", "F"]},
            },
            "required": ["city"],
        },
    },
}
REQUESTS = {
    "plain": {},
    "long prompt": {"messages": [{"role": "system", "content": "Be brief. " * 50}, *HELLO]},
    "other scripts": {"messages": [{"role": "user", "content": "žluťoučký kůň 漢字 🐎"}]},
    "cut short": {"max_tokens": 7},
    "stopped": {"stop": ["simulated"]},
    "thinking": {"reasoning": {"effort": "high"}, "max_tokens": 4000},
    "a tool": {"tools": [TOOL]},
    "three tools": {"messages": [{"role": "user", "content": "go [[simulate: calls=3]]"}], "tools": [TOOL]},
    "cached": {"messages": [{"role": "user", "content": "again [[simulate: cached=4]]"}]},
    "long answer": {"messages": [{"role": "user", "content": "[[simulate: big=900]]"}]},
}


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("fields", REQUESTS.values(), ids=REQUESTS)
def test_a_stream_says_and_counts_what_the_whole_answer_does(simulator_url, dialect, fields):
    whole = ask(simulator_url, dialect, request(**fields))
    decoder, chunks = ask_streamed(simulator_url, dialect, request(**fields))
    assembler = Assembler()
    for chunk in chunks:
        assembler.add(chunk)
    (streamed,), (choice,) = assembler.body()["choices"], whole.body["choices"]
    assert streamed["message"]["content"] == choice["message"]["content"]
    assert streamed["message"].get("reasoning") == choice["message"].get("reasoning")
    assert _calls(streamed["message"]) == _calls(choice["message"])
    assert (decoder.finish_reason, decoder.native_finish_reason) == (whole.finish_reason, whole.native_finish_reason)
    assert decoder.usage == whole.usage
    assert decoder.output_chars == whole.output_chars
    assert decoder.complete


def _calls(message):
    return [(one["function"]["name"], msgspec.json.decode(one["function"]["arguments"])) for one in message.get("tool_calls", ())]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_usage_is_exact(simulator_url, dialect):
    answer = ask(simulator_url, dialect, request())
    text = answer.body["choices"][0]["message"]["content"]
    assert "simulated" in text
    assert '"hello"' in text
    assert answer.usage == Usage(input_tokens=3 + 3 + count_tokens("hello"), output_tokens=count_tokens(text))


@pytest.mark.parametrize("dialect", DIALECTS)
def test_max_tokens_binds_and_finishes_with_length(simulator_url, dialect):
    answer = ask(simulator_url, dialect, request(max_tokens=7))
    assert (answer.usage.completion_tokens, answer.finish_reason) == (7, "length")


@pytest.mark.parametrize("dialect", DIALECTS)
def test_thoughts_are_counted_apart(simulator_url, dialect):
    answer = ask(simulator_url, dialect, request(reasoning={"effort": "high"}, max_tokens=4000))
    message = answer.body["choices"][0]["message"]
    assert answer.usage.reasoning_tokens == count_tokens(message["reasoning"]) > 0
    assert answer.usage.output_tokens == count_tokens(message["content"])


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("choice", [None, "required", {"type": "function", "function": {"name": "get_weather"}}])
def test_a_tool_is_called_with_valid_arguments_and_its_result_answered(simulator_url, dialect, choice):
    fields = {"tools": [TOOL], **({"tool_choice": choice} if choice else {})}
    message = ask(simulator_url, dialect, request(**fields)).body["choices"][0]["message"]
    assert _calls(message) == [("get_weather", {"city": "simulated", "days": 3, "unit": "C"})]
    turns = [*HELLO, message, {"role": "tool", "tool_call_id": message["tool_calls"][0]["id"], "content": "21"}]
    answer = ask(simulator_url, dialect, request(messages=turns, tools=[TOOL]))
    assert (answer.finish_reason, "tool_calls" in answer.body["choices"][0]["message"]) == ("stop", False)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_no_tool_is_called_when_the_client_forbids_it(simulator_url, dialect):
    answer = ask(simulator_url, dialect, request(tools=[TOOL], tool_choice="none"))
    assert answer.finish_reason == "stop"


@pytest.mark.parametrize("dialect", DIALECTS)
def test_structured_output_matches_its_schema(simulator_url, dialect):
    schema = {
        "type": "object",
        "properties": {"name": {"type": "string"}, "tags": {"type": "array", "items": {"type": "string"}}},
        "required": ["name"],
    }
    form = {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}
    answer = ask(simulator_url, dialect, request(response_format=form))
    assert msgspec.json.decode(answer.body["choices"][0]["message"]["content"]) == {"name": "simulated", "tags": ["simulated"]}


@pytest.mark.parametrize("ttl", ["5m", "1h"])
def test_a_marked_prefix_is_written_once_and_read_after(simulator_url, ttl):
    prefix = {"type": "text", "text": f"a long preface ({ttl}) " * 40, "cache_control": {"type": "ephemeral", "ttl": ttl}}
    read = request(messages=[{"role": "system", "content": [prefix]}, *HELLO])
    first, second = ask(simulator_url, "messages", read).usage, ask(simulator_url, "messages", read).usage
    written = first.cache_write_1h_tokens if ttl == "1h" else first.cache_write_tokens
    assert written == 3 + count_tokens(prefix["text"])
    assert (first.cache_read_tokens, second.cache_read_tokens) == (0, written)
    assert first.prompt_tokens == second.prompt_tokens
    assert second.cache_write_tokens + second.cache_write_1h_tokens == 0


@pytest.mark.parametrize("dialect", ["chat_completions", "gemini"])
def test_several_choices_are_all_counted(simulator_url, dialect):
    answer = ask(simulator_url, dialect, request(n=3))
    texts = [one["message"]["content"] for one in answer.body["choices"]]
    assert len(set(texts)) == 3
    assert answer.usage.output_tokens == sum(count_tokens(text) for text in texts)
