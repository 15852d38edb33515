"""What a preset puts into a request, in each wire format."""

import msgspec
import pytest

from accounts.request_rules import Preset, RequestRules
from gateway.dialects.client_registry import CLIENT_DIALECTS
from gateway.relay.errors import BadRequest, NotFound
from gateway.relay.flow import read_under_rules
from gateway.relay.presets import apply_preset, config_of, preset_named

CHAT, MESSAGES, RESPONSES = (CLIENT_DIALECTS[f"/api/v1/{path}"] for path in ("chat/completions", "messages", "responses"))
MINE = {"role": "system", "content": "Mine."}
HELLO = [{"role": "user", "content": "Hello"}]
TOOL = {"type": "function", "function": {"name": "clock", "description": "Tells the time.", "parameters": {"type": "object"}}}


def rules(system_prompt="", **config):
    return RequestRules(presets={"brief": Preset(slug="brief", version=1, config=config, system_prompt=system_prompt)})


def applied(body, under, api="chat"):
    return msgspec.json.decode(apply_preset(msgspec.json.encode(body), "brief", under, api))


@pytest.mark.parametrize(
    ("body", "slug"),
    [
        ({"model": "@preset/brief"}, "brief"),
        ({"model": "author/model@preset/brief"}, "brief"),
        ({"model": "author/model", "preset": "brief"}, "brief"),
        ({"model": "author/model"}, ""),
        ({"model": "author/model", "preset": 7}, ""),
        ({}, ""),
    ],
)
def test_a_request_names_a_preset_in_three_ways(body, slug):
    assert preset_named(CHAT.decode_request(msgspec.json.encode({**body, "messages": HELLO}))) == slug


def test_the_request_wins_field_by_field_and_the_model_may_come_from_either():
    under = rules(model="a/swift", temperature=0.2, provider={"zdr": True}, top_p=0.5)

    assert applied({"model": "@preset/brief", "messages": HELLO, "temperature": 1}, under) == {
        "model": "a/swift",
        "messages": HELLO,
        "temperature": 1,
        "provider": {"zdr": True},
        "top_p": 0.5,
    }
    assert applied({"model": "b/slow@preset/brief", "messages": HELLO}, under)["model"] == "b/slow"
    assert applied({"preset": "brief", "messages": HELLO, "max_completion_tokens": 9}, rules(max_tokens=5)) == {
        "messages": HELLO,
        "max_completion_tokens": 9,
    }


@pytest.mark.parametrize(
    ("body", "api", "field", "expected"),
    [
        ({"messages": HELLO}, "chat", "messages", [{"role": "system", "content": "Be brief."}, *HELLO]),
        (
            {"messages": [{"role": "system", "content": "Mine."}, *HELLO]},
            "chat",
            "messages",
            [{"role": "system", "content": "Mine."}, *HELLO],
        ),
        ({"messages": HELLO}, "messages", "system", "Be brief."),
        ({"messages": HELLO, "system": "Mine."}, "messages", "system", "Mine."),
        ({"input": "Hello"}, "responses", "instructions", "Be brief."),
        ({"input": "Hello", "instructions": "Mine."}, "responses", "instructions", "Mine."),
    ],
)
def test_the_system_prompt_is_put_where_each_format_has_it_and_one_of_the_request_stays(body, api, field, expected):
    assert applied({"preset": "brief", **body}, rules("Be brief."), api)[field] == expected


def test_tools_are_united_and_one_of_the_same_name_is_the_requests():
    mine = {"type": "function", "function": {"name": "clock"}}
    other = {"type": "function", "function": {"name": "map"}}

    assert applied({"messages": HELLO, "tools": [other]}, rules(tools=[TOOL]))["tools"] == [TOOL, other]
    assert applied({"messages": HELLO, "tools": [mine]}, rules(tools=[TOOL]))["tools"] == [mine]


def test_tools_stops_and_lengths_speak_each_format():
    under = rules(tools=[TOOL], stop="END", max_tokens=7, response_format={"type": "json_schema", "json_schema": {"name": "a"}}, seed=1)

    messages = applied({"messages": HELLO}, under, "messages")
    assert messages["tools"] == [{"name": "clock", "description": "Tells the time.", "input_schema": {"type": "object"}}]
    assert (messages["stop_sequences"], messages["max_tokens"]) == (["END"], 7)
    assert "seed" not in messages
    responses = applied({"input": "Hello"}, under, "responses")
    assert responses["tools"] == [{"type": "function", "name": "clock", "description": "Tells the time.", "parameters": {"type": "object"}}]
    assert (responses["max_output_tokens"], responses["text"]) == (7, {"format": {"type": "json_schema", "name": "a"}})


@pytest.mark.parametrize(
    ("dialect", "body"),
    [
        (CHAT, {"model": "@preset/brief", "messages": HELLO}),
        (MESSAGES, {"model": "@preset/brief", "messages": HELLO}),
        (RESPONSES, {"model": "@preset/brief", "input": "Hello"}),
    ],
)
def test_what_is_merged_is_a_valid_request_of_its_format(dialect, body):
    under = rules("Be brief.", model="a/swift", tools=[TOOL], max_tokens=7, temperature=0.5, provider={"sort": "price"})

    request = read_under_rules(dialect, msgspec.json.encode(body), under)

    assert (request.model, request.max_tokens, request.provider) == ("a/swift", 7, {"sort": "price"})
    assert request.body["messages"][0] == {"role": "system", "content": "Be brief."}
    assert request.body["tools"][0]["function"]["name"] == "clock"


def test_a_preset_may_bring_what_the_request_would_be_refused_without():
    body = {"model": "@preset/brief", "messages": HELLO, "tool_choice": "required"}

    request = read_under_rules(CHAT, msgspec.json.encode(body), rules(model="a/swift", tools=[TOOL]))

    assert request.body["tool_choice"] == "required"


def test_an_unknown_preset_and_a_path_without_presets_are_refused():
    with pytest.raises(NotFound) as unknown:
        apply_preset(b'{"preset": "loud"}', "loud", rules(), "chat")
    with pytest.raises(BadRequest) as misplaced:
        apply_preset(b'{"preset": "brief"}', "brief", rules(), "embeddings")

    assert unknown.value.metadata == misplaced.value.metadata == {"param": "preset"}


@pytest.mark.parametrize(
    ("dialect", "body", "api"),
    [
        (
            CHAT,
            {"messages": [{"role": "system", "content": "Be brief."}, *HELLO], "max_completion_tokens": 7, "stop": ["END"], "stream": True},
            "chat",
        ),
        (MESSAGES, {"system": "Be brief.", "max_tokens": 7, "stop_sequences": ["END"], "messages": HELLO, "stream": True}, "messages"),
    ],
)
def test_a_preset_is_made_of_a_body_without_its_conversation(dialect, body, api):
    config, system_prompt = config_of(dialect, msgspec.json.encode({"model": "a/swift", "temperature": 0.5, "stream": True, **body}), api)

    assert config == {"model": "a/swift", "temperature": 0.5, "max_tokens": 7, "stop": ["END"]}
    assert system_prompt == "Be brief."


def test_no_field_of_a_preset_s_tool_or_schema_makes_it_another_in_responses():
    function = {**TOOL["function"], "type": "web_search", "search_context_size": "high"}
    custom = {"type": "custom", "custom": {"name": "run", "type": "web_search"}}
    form = {"type": "json_schema", "json_schema": {"name": "a", "type": "grammar"}}
    under = rules(tools=[{"type": "function", "function": function}, custom], response_format=form)
    responses = applied({"input": "Hello"}, under, "responses")
    assert responses["tools"] == [{"type": "function", **TOOL["function"]}, {"type": "custom", "name": "run"}]
    assert responses["text"]["format"]["type"] == "json_schema"


def test_a_preset_of_responses_keeps_instructions_and_length():
    body = {"model": "a/swift", "instructions": "Be brief.", "max_output_tokens": 7, "input": [{"role": "user", "content": "Hello"}]}

    assert config_of(RESPONSES, msgspec.json.encode(body), "responses") == ({"model": "a/swift", "max_tokens": 7}, "Be brief.")
