"""Tools whose calls are free text: passed on where the model has them, a function with one field of text everywhere else, and back."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dialects.base import InvalidRequest
from gateway.dialects.chat_client import ChatClient
from gateway.dialects.custom_tools import FreeTextEncoder
from gateway.dialects.registry import choose_dialect, dialect_for, fit_tools
from gateway.dialects.responses_client import ResponsesClient, decode_responses_request
from gateway.relay.estimate import prompt_tokens_max
from gateway.relay.sse import SseDecoder
from gateway.relay.tool_checks import find_fault, schemas_of
from tests.gateway.dialects.builders import HELLO, endpoint, provider, request
from tests.gateway.dialects.conversations import CLOSING, HEAD, _cut, read_named_events
from tests.gateway.dialects.matrix import FORMATS

GRAMMAR = {"syntax": "lark", "definition": 'start: "a"+'}
RUN = {"type": "custom", "custom": {"name": "run", "description": "Runs code.", "format": {"type": "grammar", "grammar": GRAMMAR}}}
PLAIN = {"type": "custom", "custom": {"name": "note"}}
LOOK = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
CALL = {"id": "call_1", "type": "custom", "custom": {"name": "run", "input": 'print("hé\n")'}}
HISTORY = [
    *HELLO,
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "call_1", "content": "hé"},
]
FLAT = {"type": "custom", "name": "run", "description": "Runs code.", "format": {"type": "grammar", **GRAMMAR}}
ITEMS = [
    {"role": "user", "content": "hello"},
    {"type": "custom_tool_call", "call_id": "call_1", "name": "run", "input": 'print("hé\n")'},
    {"type": "custom_tool_call_output", "call_id": "call_1", "output": "hé"},
]
OPENAI = provider("openai")


def respond(**fields):
    return decode_responses_request(msgspec.json.encode({"model": "author/model", "input": "hello", **fields}))


def sent(asked, model="gpt-5", host=OPENAI, form=""):
    """Return the body for a provider, and what was left out."""
    where = endpoint(model)
    fitted, lost = fit_tools(asked, where, host)
    dialect = dialect_for(form) if form else choose_dialect(asked, where, host)
    return msgspec.json.decode(dialect.encode_request(fitted, where, host, stream=False, max_tokens=None).body), lost


def test_both_client_formats_mean_the_same():
    theirs, ours = respond(tools=[FLAT], input=ITEMS), request(tools=[RUN], messages=HISTORY)
    assert theirs.body["tools"] == ours.body["tools"]
    assert theirs.body["messages"] == ours.body["messages"]
    assert (theirs.custom_tools, ours.custom_tools) == (("run",), ("run",))
    assert theirs.prompt_bytes == ours.prompt_bytes


@pytest.mark.parametrize("asked", [request(tools=[RUN, LOOK], messages=HISTORY), respond(tools=[FLAT], input=ITEMS)])
def test_where_the_model_has_them_nothing_is_lost(asked):
    body, lost = sent(asked)
    assert lost == ()
    if "input" in body:
        assert body["tools"][0] == FLAT
        assert body["input"] == ITEMS
    else:
        assert body["tools"] == [RUN, LOOK]
        assert body["messages"] == HISTORY


def test_a_chat_is_written_in_responses_with_them():
    body, lost = sent(
        request(tools=[RUN, PLAIN, LOOK], messages=HISTORY, tool_choice={"type": "custom", "custom": {"name": "run"}}), form="responses"
    )
    assert lost == ()
    assert body["tools"][:2] == [FLAT, {"type": "custom", "name": "note"}]
    assert body["tool_choice"] == {"type": "custom", "name": "run"}
    assert body["input"][1:] == ITEMS[1:]


@pytest.mark.parametrize(("model", "host"), [("gpt-4o", OPENAI), ("gpt-5", provider("openrouter")), ("claude-opus-4-5", provider("azure"))])
def test_everybody_else_gets_a_function_with_one_field_of_text(model, host):
    wish = {"type": "custom", "custom": {"name": "run"}}
    body, lost = sent(request(tools=[LOOK, RUN], messages=HISTORY, tool_choice=wish), model, host, form="chat_completions")
    assert body["tools"][0] == LOOK
    function = body["tools"][1]["function"]
    assert (function["name"], function["description"], function["parameters"]["required"]) == ("run", "Runs code.", ["input"])
    assert GRAMMAR["definition"] in function["parameters"]["properties"]["input"]["description"]
    arguments = '{"input":"print(\\"hé\\n\\")"}'
    called = {"id": "call_1", "type": "function", "function": {"name": "run", "arguments": arguments}}
    assert body["messages"][1]["tool_calls"] == [called]
    assert body["tool_choice"] == {"type": "function", "function": {"name": "run"}}
    assert lost == ("tools[1].custom.format",)


def test_a_grammar_that_cannot_be_imposed_is_named_as_the_client_wrote_it():
    assert sent(respond(tools=[FLAT]), "gpt-4o")[1] == ("tools[0].format",)
    assert sent(request(tools=[PLAIN]), "gpt-4o")[1] == ()


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_takes_them_and_a_history_with_them(form):
    model, slug = FORMATS[form]
    body, _ = sent(request(tools=[RUN], messages=HISTORY), "other" if slug == "openai" else model, provider(slug, form), form=form)
    assert b"custom" not in msgspec.json.encode(body)
    assert b"run" in msgspec.json.encode(body)


@pytest.mark.parametrize("count", [1, 500])
@pytest.mark.parametrize("picture", [[], [{"type": "image_url", "image_url": {"url": "https://host.example/a.png"}}]])
def test_the_hold_covers_the_functions_that_stand_in(count, picture):
    """One byte is one token at most, and everything beside the tools and the messages has bounds of its own."""
    chat = {"messages": [*HISTORY, {"role": "user", "content": [{"type": "text", "text": "hello"}, *picture]}]}
    chat["tools"] = [{"type": "custom", "custom": {"name": f"a{number}"}} for number in range(count - 1)] + [RUN]
    shown = [{"type": "input_text", "text": "hello"}, *({"type": "input_image", "image_url": one["image_url"]["url"]} for one in picture)]
    flat = {"input": [*ITEMS, {"role": "user", "content": shown}]}
    flat["tools"] = [{"type": "custom", "name": f"a{number}"} for number in range(count - 1)] + [FLAT]
    for decode, fields in ((request, chat), (respond, flat)):
        asked = decode(**fields)
        asked.body_bytes = len(msgspec.json.encode(fields))
        body, _ = sent(asked, "gpt-4o", form="chat_completions")
        beside = prompt_tokens_max(request(messages=chat["messages"], tools=[LOOK]), endpoint())
        beside -= request(messages=chat["messages"], tools=[LOOK]).prompt_bytes
        bound = prompt_tokens_max(asked, endpoint("gpt-4o")) - beside
        assert bound >= len(msgspec.json.encode(body["tools"])) + len(msgspec.json.encode(chat["messages"]))


def test_functions_add_nothing_to_the_hold():
    assert request(tools=[LOOK]).stand_in_bytes == 0
    body, _ = sent(request(tools=[PLAIN]), "gpt-4o", form="chat_completions")
    assert request(tools=[LOOK, PLAIN]).stand_in_bytes == len(msgspec.json.encode(body["tools"][0]))


@pytest.mark.parametrize(
    ("model", "has_them"),
    [("gpt-5", True), ("gpt-5.1-codex", True), ("gpt-10", True), ("gpt-4.1", False), ("gpt-35-turbo", False), ("gpt-35-turbo-16k", False)],
)
def test_models_from_gpt_5_on_have_them_by_openai_s_names_and_by_azure_s(model, has_them):
    for host in (OPENAI, provider("azure")):
        body, _ = sent(request(tools=[PLAIN]), model, host, form="chat_completions")
        assert body["tools"][0]["type"] == ("custom" if has_them else "function")


def test_an_earlier_call_alone_is_rewritten_too():
    body, _ = sent(request(messages=HISTORY), "gpt-4o")
    assert body["messages"][1]["tool_calls"][0]["type"] == "function"


def allow(*names, mode="required"):
    return {
        "type": "allowed_tools",
        "allowed_tools": {"mode": mode, "tools": [{"type": kind, kind: {"name": name}} for kind, name in names]},
    }


def test_allowed_tools_pass_to_openai_and_narrow_the_list_for_others():
    asked = request(tools=[LOOK, PLAIN, RUN], tool_choice=allow(("function", "look"), ("custom", "note")))
    assert sent(asked)[0]["tool_choice"] == asked.body["tool_choice"]
    listed = [{"type": "function", "name": "look"}, {"type": "custom", "name": "note"}]
    assert sent(asked, form="responses")[0]["tool_choice"] == {"type": "allowed_tools", "mode": "required", "tools": listed}
    body, _ = sent(asked, "gpt-4o")
    assert [tool["function"]["name"] for tool in body["tools"]] == ["look", "note"]
    assert body["tool_choice"] == "required"
    narrowed = respond(
        tools=[FLAT, {"type": "function", "name": "look"}], tool_choice={"type": "allowed_tools", "mode": "auto", "tools": [listed[0]]}
    )
    assert sent(narrowed)[0]["tool_choice"]["type"] == "allowed_tools"
    body, _ = sent(narrowed, "other", provider("host"))
    assert ([tool["function"]["name"] for tool in body["tools"]], body["tool_choice"]) == (["look"], "auto")


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"tools": [{"type": "custom"}]}, "tools[0].custom"),
        ({"tools": [{"type": "custom", "custom": {}}]}, "tools[0].custom.name"),
        ({"tools": [{"type": "custom", "custom": {"name": "a", "format": {"type": "grammar"}}}]}, "tools[0].custom.format.grammar"),
        ({"tools": [{"type": "custom", "custom": {"name": "a", "format": {"type": "regex"}}}]}, "tools[0].custom.format.type"),
        ({"tools": [LOOK, {"type": "custom", "custom": {"name": "look"}}]}, "tools[1].custom.name"),
        ({"tools": [RUN, RUN]}, "tools[0].custom.name"),
        ({"tools": [RUN], "tool_choice": {"type": "custom", "custom": {"name": "look"}}}, "tool_choice.custom.name"),
        ({"tools": [RUN], "tool_choice": {"type": "custom"}}, "tool_choice.custom.name"),
        ({"tools": [LOOK], "tool_choice": {"type": "custom", "custom": {"name": "look"}}}, "tool_choice.custom.name"),
        ({"tools": [RUN], "tool_choice": allow(("custom", "run"), mode="none")}, "tool_choice.allowed_tools.mode"),
        ({"tools": [RUN], "tool_choice": allow(("custom", "other"))}, "tool_choice.allowed_tools.tools[0]"),
        ({"tools": [RUN], "tool_choice": allow(("custom", ["run"]))}, "tool_choice.allowed_tools.tools[0]"),
        ({"tools": [RUN], "tool_choice": allow()}, "tool_choice.allowed_tools.tools"),
        ({"tools": [RUN], "tool_choice": {"type": "tool", "name": "run"}}, "tool_choice.type"),
        ({"messages": [*HELLO, {"role": "assistant", "tool_calls": [{"id": "a", "type": "custom"}]}]}, "messages[1].tool_calls[0].custom"),
    ],
)  # fmt: skip
def test_chat_says_which_field_is_wrong(fields, param):
    with pytest.raises(InvalidRequest) as refusal:
        request(**fields)
    assert refusal.value.param == param


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"tools": [{"type": "custom"}]}, "tools[0].name"),
        ({"tools": [{**FLAT, "format": {"type": "grammar", "syntax": "lark"}}]}, "tools[0].format.definition"),
        ({"tools": [{**FLAT, "format": {"type": "grammar", "syntax": "ebnf", "definition": "a"}}]}, "tools[0].format.syntax"),
        ({"tools": [{**FLAT, "format": {"type": "json"}}]}, "tools[0].format.type"),
        ({"tools": [{"type": "function", "name": "run"}, FLAT]}, "tools[1].name"),
        ({"tools": [{"type": "web_search"}]}, "tools[0].type"),
        ({"tools": [{"type": "namespace", "name": "a", "tools": []}]}, "tools[0].type"),
        ({"tools": [FLAT], "tool_choice": {"type": "custom", "name": "other"}}, "tool_choice.name"),
        ({"tools": [FLAT], "tool_choice": {"type": "allowed_tools", "mode": "never", "tools": [FLAT]}}, "tool_choice.mode"),
        ({"tools": [FLAT], "tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": []}}, "tool_choice.tools"),
        ({"tools": [FLAT], "tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [{"type": []}]}}, "tool_choice.tools[0]"),
        ({"tools": [FLAT], "tool_choice": {"type": "shell"}}, "tool_choice"),
        ({"input": [{"type": "custom_tool_call", "call_id": "a", "name": "run"}]}, "input[0].input"),
        ({"input": [{"type": "custom_tool_call_output", "output": "a"}]}, "input[0].call_id"),
    ],
)  # fmt: skip
def test_responses_says_which_field_is_wrong(fields, param):
    with pytest.raises(InvalidRequest) as refusal:
        respond(**fields)
    assert refusal.value.param == param


def test_calls_of_them_are_no_mistakes_of_the_model():
    schemas = schemas_of([RUN, LOOK])
    assert find_fault([("run", "no JSON {"), ("look", "{}")], schemas) == ""
    assert find_fault([("look", "no JSON {")], schemas) == "InvalidJson"
    assert find_fault([("walk", "")], schemas) == "UnknownName"


# --- answers ---


def chunk(delta, finish=None):
    choice = {"index": 0, "delta": delta, "finish_reason": finish, "native_finish_reason": finish, "logprobs": None}
    return {"object": "chat.completion.chunk", "created": 1, "choices": [choice]}


def called(index, piece, **opening):
    named = {"name": opening.pop("name")} if opening else {}
    return chunk({"tool_calls": [{"index": index, **opening, "function": {**named, "arguments": piece}}]})


def relay(client, asked, chunks):
    encoder = client.new_stream_encoder(asked, HEAD)
    return b"".join(encoder.encode([one]) for one in chunks) + encoder.finish(CLOSING)


def chat_calls(data):
    """Return (name, kind, text) of the calls of a stream of chunks."""
    calls = {}
    for event in SseDecoder().feed(data)[:-1]:
        for choice in msgspec.json.decode(event.data)["choices"]:
            for one in choice["delta"].get("tool_calls") or ():
                held = calls.setdefault(one["index"], ["", "", ""])
                kind = "custom" if "custom" in one else "function"
                held[0] += one[kind].get("name", "")
                held[1] = kind
                held[2] += one[kind].get("input" if kind == "custom" else "arguments") or ""
    return [tuple(held) for held in calls.values()]


@given(st.data(), st.lists(st.tuples(st.sampled_from(["run", "look"]), st.text(max_size=12)), min_size=1, max_size=4), st.booleans())
def test_stand_ins_become_free_text_wherever_cut_and_however_mixed(data, calls, in_turns):
    asked_chat = request(tools=[RUN, LOOK])
    asked_responses = respond(tools=[FLAT, {"type": "function", "name": "look"}])
    pieces = []
    for index, (name, text) in enumerate(calls):
        whole = msgspec.json.encode({"input": text}).decode()
        pieces.append(
            [called(index, "", id=f"call_{index}", type="function", name=name), *(called(index, one) for one in _cut(data.draw, whole))]
        )
    if in_turns:
        mixed = [piece for turn in range(max(map(len, pieces))) for one in pieces for piece in one[turn : turn + 1]]
    else:
        mixed = [piece for one in pieces for piece in one]
    chunks = [chunk({"role": "assistant", "content": ""}), *mixed, chunk({}, "tool_calls")]

    told = relay(ChatClient(), asked_chat, chunks)
    wanted = [
        (name, "custom", text) if name == "run" else (name, "function", msgspec.json.encode({"input": text}).decode())
        for name, text in calls
    ]
    assert sorted(chat_calls(told)) == sorted(wanted)

    output = read_named_events(relay(ResponsesClient(), asked_responses, chunks))[-1]["response"]["output"]
    assert sorted((item["name"], item.get("input", item.get("arguments"))) for item in output) == sorted(
        (name, text) for name, _, text in wanted
    )


def test_responses_streams_free_text_as_it_comes():
    asked = respond(tools=[FLAT])
    encoder = ResponsesClient().new_stream_encoder(asked, HEAD)
    opened = called(0, '{"inp', id="call_1", type="function", name="run")
    pieces = [opened, called(0, 'ut": "a\\'), called(0, "nb"), called(0, '"}')]
    events = [[(event["type"], event.get("delta")) for event in read_named_events(encoder.encode([piece]))] for piece in pieces]
    assert [kind for kind, _ in events[0]] == ["response.created", "response.in_progress", "response.output_item.added"]
    assert events[1:] == [
        [("response.custom_tool_call_input.delta", "a")],
        [("response.custom_tool_call_input.delta", "\nb")],
        [],
    ]
    done, item, completed = read_named_events(encoder.encode([chunk({}, "tool_calls")]) + encoder.finish(CLOSING))
    assert (done["type"], done["input"]) == ("response.custom_tool_call_input.done", "a\nb")
    assert item["item"]["type"] == "custom_tool_call"
    assert item["item"]["id"].startswith("ctc_")
    assert completed["response"]["tools"] == [FLAT]


def test_a_stream_that_breaks_off_still_tells_what_was_kept():
    encoder = ChatClient().new_stream_encoder(request(tools=[RUN]), HEAD)
    assert isinstance(encoder, FreeTextEncoder)
    told = encoder.encode([called(0, "no JSON", id="call_1", type="function", name="run")])
    error = {"code": 502, "message": "gone", "metadata": {"error_type": "provider_unavailable"}}
    told += encoder.fail(error, CLOSING)
    assert chat_calls(told) == [("run", "custom", "no JSON")]


@pytest.mark.parametrize("opening", ["", '{"inp'])
@pytest.mark.parametrize(("name", "kind", "text"), [("run", "custom", "a\nb"), ("look", "function", '{"input": "a\\nb"}')])
def test_a_name_that_comes_after_the_id_still_tells_what_is_called(opening, name, kind, text):
    encoder = ChatClient().new_stream_encoder(request(tools=[RUN, LOOK]), HEAD)
    whole = '{"input": "a\\nb"}'
    assert encoder.encode([called(0, opening, id="call_1", type="function", name="")]) == b""
    other = [called(1, "{}", id="call_2", type="function", name="look")]
    assert encoder.encode(other) == b""  # calls are told in their order
    named = chunk({"tool_calls": [{"index": 0, "function": {"name": name, "arguments": ""}}]})
    told = encoder.encode([named])
    opened = msgspec.json.decode(SseDecoder().feed(told)[0].data)["choices"][0]["delta"]["tool_calls"][0]
    assert (opened["index"], opened["id"], opened["type"], opened[kind]["name"]) == (0, "call_1", kind, name)
    told += encoder.encode([called(0, whole.removeprefix(opening))]) + encoder.encode([chunk({}, "tool_calls")]) + encoder.finish(CLOSING)
    assert chat_calls(told) == [(name, kind, text), ("look", "function", "{}")]


@pytest.mark.parametrize("ends", [[], [chunk({}, "tool_calls")]])
def test_a_call_that_never_gets_a_name_is_told_at_the_end(ends):
    opened = called(0, '{"a":', id="call_1", type="function", name="")
    chunks = [opened, called(1, '{"input": "b"}', id="call_2", type="function", name="run"), called(0, "1}"), *ends]
    assert chat_calls(relay(ChatClient(), request(tools=[RUN]), chunks)) == [("", "function", '{"a":1}'), ("run", "custom", "b")]


@pytest.mark.parametrize("ended", [True, False])
def test_words_that_wait_for_a_call_keep_their_probabilities(ended):
    def said(word):
        one = chunk({"content": word})
        one["choices"][0]["logprobs"] = {"content": [{"token": word, "logprob": -1, "bytes": None, "top_logprobs": []}]}
        return one

    opened = called(0, '{"a":', id="call_1", type="function", name="look")
    chunks = [said("a"), opened, said("b"), said("c"), *([called(0, "1}")] if ended else []), said("d"), chunk({}, "tool_calls")]
    asked = respond(tools=[{"type": "function", "name": "look"}])
    events = read_named_events(relay(ResponsesClient(), asked, chunks))
    parts = [part for item in events[-1]["response"]["output"] if item["type"] == "message" for part in item["content"]]
    heard = [(part["text"], "".join(one["token"] for one in part["logprobs"])) for part in parts]
    assert heard == [("a", "a"), ("bcd", "bcd")]
    deltas = [event for event in events if event["type"] == "response.output_text.delta"]
    assert [(event["delta"], [one["token"] for one in event["logprobs"]]) for event in deltas] == [(word, [word]) for word in "abcd"]


def answer(calls):
    message = {"role": "assistant", "content": None, "tool_calls": calls}
    return {"choices": [{"index": 0, "message": message, "finish_reason": "tool_calls", "native_finish_reason": "stop", "logprobs": None}]}


STAND_IN = {"id": "call_1", "type": "function", "function": {"name": "run", "arguments": '{"input": "a\\nb"}'}}
NATIVE = {"id": "call_1", "type": "custom", "custom": {"name": "run", "input": "a\nb"}}


@pytest.mark.parametrize("call", [STAND_IN, NATIVE])
def test_whole_answers_have_free_text_too(call):
    body = msgspec.json.decode(ChatClient().encode_answer(answer([call]), request(tools=[RUN]), HEAD, CLOSING))
    assert body["choices"][0]["message"]["tool_calls"] == [NATIVE]
    body = msgspec.json.decode(ResponsesClient().encode_answer(answer([call]), respond(tools=[FLAT]), HEAD, CLOSING))
    (item,) = body["output"]
    assert (item["type"], item["call_id"], item["name"], item["input"]) == ("custom_tool_call", "call_1", "run", "a\nb")


def test_a_function_of_another_name_stays_one():
    body = msgspec.json.decode(ChatClient().encode_answer(answer([STAND_IN]), request(tools=[LOOK]), HEAD, CLOSING))
    assert body["choices"][0]["message"]["tool_calls"] == [STAND_IN]


def test_a_choice_of_a_function_that_is_not_there_is_refused_in_each_format():
    with pytest.raises(InvalidRequest, match="one of the tools") as refusal:
        request(tools=[LOOK, RUN], tool_choice={"type": "function", "function": {"name": "run"}})
    assert refusal.value.param == "tool_choice.function.name"
    with pytest.raises(InvalidRequest) as refusal:
        respond(tools=[FLAT, {"type": "function", "name": "look"}], tool_choice={"type": "function", "name": "run"})
    assert refusal.value.param == "tool_choice.name"
