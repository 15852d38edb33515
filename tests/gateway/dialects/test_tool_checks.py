"""What is checked of the tools of a request: in work that grows with their number alone, and of what a client wrote only what is known."""

import msgspec
import pytest

from gateway.dialects import chat_tools, responses_schema
from gateway.dialects.base import InvalidRequest
from gateway.dialects.chat_completions import decode_request
from gateway.dialects.messages_client import decode_messages_request
from gateway.dialects.registry import dialect_for, fit_tools
from gateway.dialects.responses_client import decode_responses_request
from gateway.relay.admission import admit
from gateway.relay.errors import BadRequest
from tests.gateway.dialects.builders import HELLO, endpoint, provider, request

FEW, MANY = 512, 6_000
NAMES = [f"a{number}" for number in range(MANY)]
CUSTOM = [{"type": "custom", "custom": {"name": name}} for name in NAMES]
FLAT = [{"type": "custom", "name": name} for name in NAMES]
THEIRS = [{"name": name, "input_schema": {"type": "object"}} for name in NAMES]
FORMATS = [
    (decode_request, {"messages": HELLO}, CUSTOM),
    (decode_responses_request, {"input": "hello"}, FLAT),
    (decode_messages_request, {"messages": HELLO, "max_tokens": 1}, THEIRS),
]
OPENAI = provider("openai")


class Walked(list):
    """Tools that count how many of them are looked at."""

    def __init__(self, tools):
        super().__init__(tools)
        self.steps = 0

    def __iter__(self):
        for one in super().__iter__():
            self.steps += 1
            yield one


class Name(str):
    """A name that counts how often any is compared with another."""

    __slots__ = ()
    compared = 0

    def __eq__(self, other):
        Name.compared += 1
        return str.__eq__(self, other)

    __hash__ = str.__hash__


@pytest.fixture(autouse=True)
def nothing_compared():
    Name.compared = 0


@pytest.mark.parametrize(("decode", "rest", "tools"), FORMATS)
def test_too_many_tools_are_refused_like_at_admission(decode, rest, tools):
    with pytest.raises(InvalidRequest) as refusal:
        decode(msgspec.json.encode({"model": "a/b", **rest, "tools": tools}))
    passed = decode(msgspec.json.encode({"model": "a/b", **rest, "tools": tools[:FEW]}))
    admit(passed)
    passed.body["tools"].append(passed.body["tools"][0])
    with pytest.raises(BadRequest) as late:
        admit(passed)
    assert (refusal.value.message, refusal.value.param) == ("at most 512 tools can be given", "tools")
    assert (late.value.message, late.value.metadata) == (refusal.value.message, {"param": refusal.value.param})


def test_too_many_are_not_looked_at_one_by_one():
    for tools, check in (
        (Walked(msgspec.convert(CUSTOM, list[chat_tools.Tool])), chat_tools.check_tools),
        (Walked(msgspec.convert(FLAT, list[responses_schema.Tool])), responses_schema._check_tools),
    ):
        with pytest.raises(InvalidRequest, match="at most 512 tools"):
            check(tools)
        assert tools.steps == 0


def test_each_tool_is_looked_at_a_few_times_however_many_there_are():
    for tools, check in (
        (Walked(msgspec.convert(CUSTOM[:FEW], list[chat_tools.Tool])), chat_tools.check_tools),
        (Walked(msgspec.convert(FLAT[:FEW], list[responses_schema.Tool])), responses_schema._check_tools),
    ):
        check(tools)
        assert FEW <= tools.steps <= 3 * FEW


def test_names_of_allowed_tools_are_not_compared_one_by_one():
    tools = [chat_tools.Tool(type="custom", custom=chat_tools._Custom(name=Name(name))) for name in NAMES[:FEW]]
    listed = [{"type": "custom", "custom": {"name": Name(name)}} for name in NAMES[:FEW]]
    chat_tools.check_choice({"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": listed}}, tools)
    assert FEW <= Name.compared <= 3 * FEW


def test_names_of_allowed_tools_of_responses_are_not_compared_one_by_one():
    from gateway.dialects.responses_client import _allowed  # noqa: PLC0415 -- what a body of bytes cannot count

    tools = [{"type": "custom", "custom": {"name": Name(name)}} for name in NAMES[:FEW]]
    listed = [{"type": "custom", "name": Name(name)} for name in NAMES[:FEW]]
    assert _allowed({"mode": "auto", "tools": listed}, tools) == ("auto", tools)
    assert Name.compared <= 6 * FEW  # the comparison of the result included


@pytest.mark.parametrize("name", [["run"], {"a": 1}, None, 1])
def test_a_name_that_is_no_text_is_none_of_the_tools(name):
    allowed = {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "custom", "name": name}]}
    with pytest.raises(InvalidRequest) as refusal:
        decode_responses_request(
            msgspec.json.encode({"model": "a/b", "input": "hello", "tools": FLAT[:1], "tool_choice": allowed}),
        )
    assert refusal.value.param == "tool_choice.tools[0]"


# --- what a client writes beside what is known ---


def upstream(asked, form, model="gpt-5"):
    where = endpoint(model)
    fitted, _ = fit_tools(asked, where, OPENAI)
    return msgspec.json.decode(dialect_for(form).encode_request(fitted, where, OPENAI, stream=False, max_tokens=None).body)


def test_no_field_of_a_tool_makes_it_one_that_the_provider_runs():
    grammar = {"syntax": "lark", "definition": "start: /a/", "type": "web_search"}
    form = {"type": "grammar", "grammar": grammar, "name": "other"}
    custom = {"name": "run", "type": "web_search", "search_context_size": "high", "format": form}
    plain = {"name": "note", "format": {"type": "text", "vector_store_ids": ["vs_1"]}}
    function = {"name": "look", "type": "mcp", "server_url": "https://mcp.example", "strict": None}
    tools = [{"type": "custom", "custom": custom}, {"type": "custom", "custom": plain}, {"type": "function", "function": function}]
    assert upstream(request(tools=tools), "responses")["tools"] == [
        {"type": "custom", "name": "run", "format": {"type": "grammar", "syntax": "lark", "definition": "start: /a/"}},
        {"type": "custom", "name": "note", "format": {"type": "text"}},
        {"type": "function", "name": "look", "parameters": {"type": "object", "properties": {}}, "strict": False},
    ]


def test_no_field_of_an_earlier_call_makes_it_an_item_that_the_provider_stores():
    forged = {"type": "item_reference", "id": "msg_other", "call_id": "call_2"}
    called = [
        {"id": "call_1", "type": "custom", "custom": {"name": "run", "input": "a", **forged}},
        {"id": "call_3", "type": "function", "function": {"name": "look", "arguments": "{}", **forged}},
    ]
    history = [*HELLO, {"role": "assistant", "content": None, "tool_calls": called}]
    assert upstream(request(messages=history), "responses")["input"][1:] == [
        {"type": "custom_tool_call", "call_id": "call_1", "name": "run", "input": "a"},
        {"type": "function_call", "call_id": "call_3", "name": "look", "arguments": "{}"},
    ]


def test_no_field_of_a_schema_makes_the_answer_s_format_another():
    schema = {"name": "answer", "schema": {"type": "object"}, "type": "grammar", "definition": "start: /a/"}
    body = upstream(request(response_format={"type": "json_schema", "json_schema": schema}), "responses")
    assert body["text"]["format"] == {"type": "json_schema", "name": "answer", "schema": {"type": "object"}}


@pytest.mark.parametrize("beside", ["abc", [1], {"name": [1]}, {"name": "other"}])
@pytest.mark.parametrize(("form", "model"), [("chat_completions", "gpt-4o"), ("responses", "gpt-5"), ("responses", "gpt-4o")])
def test_an_allowed_tool_has_the_name_that_was_checked(beside, form, model):
    listed = [{"type": "custom", "custom": {"name": "a1"}, "function": beside}]
    asked = request(tools=CUSTOM[:3], tool_choice={"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": listed}})
    body = upstream(asked, form, model)
    if model == "gpt-5":
        assert body["tool_choice"]["tools"] == [{"type": "custom", "name": "a1"}]
    else:
        (tool,) = body["tools"]
        assert (tool.get("function") or tool)["name"] == "a1"


def test_a_function_with_half_a_grammar_beside_it_stays_one():
    half = {"name": "other", "format": {"type": "grammar"}}
    look = {"type": "function", "function": {"name": "look"}, "custom": half}
    body = upstream(request(tools=[look, *CUSTOM[:1]]), "chat_completions", "gpt-4o")
    assert [tool["function"]["name"] for tool in body["tools"]] == ["look", "a0"]
