"""Requests in Anthropic's Messages: what becomes of each field, and what passes through to providers that speak it too."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.dialects.base import InvalidRequest
from gateway.dialects.messages import MessagesDialect
from gateway.dialects.messages_client import MessagesClient
from gateway.dialects.messages_encoder import encode_messages_error, stop_reason
from gateway.dialects.sealed_details import seal_detail
from tests.gateway.dialects.builders import endpoint, provider
from tests.gateway.dialects.conversations import CLOSING, HEAD, arguments, texts

MARK = {"type": "ephemeral", "ttl": "1h"}


def decode(*turns, **fields):
    body = {"model": "author/model", "max_tokens": 4096, "messages": list(turns) or [{"role": "user", "content": "hello"}], **fields}
    return MessagesClient().decode_request(msgspec.json.encode(body))


def upstream(request, *, native=True, **kwargs):
    if not native:
        request.native_dialect = ""
    call = MessagesDialect().encode_request(request, endpoint(**kwargs), provider(dialect="messages"), stream=False, max_tokens=None)
    return call, msgspec.json.decode(call.body)


def user(*blocks):
    return {"role": "user", "content": list(blocks)}


def assistant(*blocks):
    return {"role": "assistant", "content": list(blocks)}


def text(words, **fields):
    return {"type": "text", "text": words, **fields}


def test_parameters_become_those_of_chat():
    request = decode(
        system="Be kind.",
        temperature=0.5,
        top_k=3,
        stop_sequences=["a", "b", "c", "d", "e"],
        metadata={"user_id": "u1"},
        speed="fast",
        models=["x/y"],
        fallbacks=[{"model": "z/w"}],
        session_id="s",
        tools=[{"name": "f", "input_schema": {"type": "object"}, "cache_control": MARK}],
        tool_choice={"type": "any", "disable_parallel_tool_use": True},
        output_config={"effort": "high", "format": {"type": "json_schema", "schema": {"type": "object"}}},
        thinking={"type": "adaptive"},
    )

    assert request.body == {
        "messages": [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "hello"}],
        "temperature": 0.5,
        "top_k": 3,
        "session_id": "s",
        "stop": ["a", "b", "c", "d", "e"],
        "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}, "cache_control": MARK}],
        "tool_choice": "required",
        "parallel_tool_calls": False,
        "reasoning": {"enabled": True, "effort": "high"},
        "response_format": {"type": "json_schema", "json_schema": {"name": "answer", "schema": {"type": "object"}, "strict": True}},
    }
    assert (request.models, request.user, request.service_tier, request.max_tokens) == (("x/y", "z/w"), "u1", "priority", 4096)


def test_results_of_tools_become_messages_and_their_pictures_follow():
    picture = {"type": "image", "source": {"type": "url", "url": "https://e.example/a.png"}}
    request = decode(
        user(text("look")),
        assistant(
            {"type": "tool_use", "id": "a", "name": "f", "input": {}}, {"type": "tool_use", "id": "b", "name": "f", "input": {"x": 1}}
        ),
        user(
            {"type": "tool_result", "tool_use_id": "a", "content": [text("seen"), picture]},
            {"type": "tool_result", "tool_use_id": "b", "is_error": True, "content": "no"},
            text("and now?"),
        ),
    )

    assert request.body["messages"] == [
        {"role": "user", "content": "look"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}},
                {"id": "b", "type": "function", "function": {"name": "f", "arguments": '{"x":1}'}},
            ],
        },
        {"role": "tool", "tool_call_id": "a", "content": "seen"},
        {"role": "tool", "tool_call_id": "b", "content": "Error: no"},
        {
            "role": "user",
            "content": [{"type": "image_url", "image_url": {"url": "https://e.example/a.png"}}, {"type": "text", "text": "and now?"}],
        },
    ]


def test_thoughts_keep_signature_and_order_and_those_of_others_their_own_form():
    sealed = {"type": "reasoning.encrypted", "data": "x", "format": "google-gemini-v1", "id": "call_1", "index": 0}
    request = decode(
        user(text("x")),
        assistant(
            {"type": "thinking", "thinking": "hm", "signature": "sig"},
            {"type": "thinking", "thinking": "so", "signature": ""},
            {"type": "redacted_thinking", "data": seal_detail(sealed)},
            {"type": "redacted_thinking", "data": "theirs"},
            text("yes"),
        ),
    )

    message = request.body["messages"][1]
    assert message["reasoning"] == "hmso"
    assert message["reasoning_details"] == [
        {"type": "reasoning.text", "text": "hm", "signature": "sig", "format": "anthropic-claude-v1", "index": 0},
        {"type": "reasoning.text", "text": "so", "format": "unknown", "index": 1},
        sealed,
        {"type": "reasoning.encrypted", "data": "theirs", "format": "anthropic-claude-v1", "index": 3},
    ]
    _, body = upstream(request)
    assert [block["type"] for block in body["messages"][1]["content"]] == ["thinking", "redacted_thinking", "text"]


def test_a_provider_that_speaks_messages_gets_the_body_as_it_came():
    system = [text("s", cache_control=MARK)]
    tool = {"type": "text_editor_20250728", "name": "str_replace_based_edit_tool", "max_characters": 9}
    turn = assistant({"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {"query": "x"}}, text("found", citations=[]))
    request = decode(
        user(text("x")), turn, user(text("y")), system=system, tools=[tool], context_management={"edits": []},
        thinking={"type": "enabled", "budget_tokens": 2000}, provider={"order": ["host"]}, session_id="s", metadata={"user_id": "u"},
        inference_geo="us", speed="fast",
    )  # fmt: skip
    request.beta = "context-management-2025-06-27"

    call, body = upstream(request)

    assert body.pop("metadata")["user_id"] != "u"
    assert body == {
        "model": "model-1",
        "max_tokens": 4096,
        "messages": [user(text("x")), turn, user(text("y"))],
        "system": system,
        "tools": [tool],
        "context_management": {"edits": []},
        "thinking": {"type": "enabled", "budget_tokens": 2000},
    }
    assert call.dropped == ("speed",)
    assert call.headers["anthropic-beta"] == "context-management-2025-06-27"
    assert request.opaque == "messages[1].content[0] of type server_tool_use"
    assert request.native["thinking"] == {"type": "enabled", "budget_tokens": 2000}


def test_thinking_is_put_as_the_model_takes_it():
    adaptive = {"reasoning", "reasoning_effort", "max_tokens"}

    _, body = upstream(decode(thinking={"type": "enabled", "budget_tokens": 2000}), supports=adaptive)
    assert body["thinking"] == {"type": "adaptive", "display": "summarized"}
    _, body = upstream(decode(thinking={"type": "adaptive"}, output_config={"effort": "low"}), supports={"reasoning", "temperature"})
    assert body["thinking"] == {"type": "enabled", "budget_tokens": 1024}
    call, body = upstream(decode(thinking={"type": "adaptive"}, top_k=3), supports={"temperature"})
    assert "thinking" not in body
    assert set(call.dropped) == {"top_k", "reasoning"}


@pytest.mark.parametrize(
    ("turn", "param"),
    [
        (user({"type": "image", "source": {"type": "base64", "data": "x"}}), "messages[0].content[0].source.media_type"),
        (user({"type": "hologram"}), "messages[0].content[0].type"),
        ({"role": "user", "content": 3}, "messages[0].content"),
        ({"role": "user"}, "messages[0].content"),
        (user({"type": "tool_result", "content": "x"}), "messages[0].content[0].tool_use_id"),
    ],
)
def test_a_mistake_is_named_by_its_place(turn, param):
    with pytest.raises(InvalidRequest) as caught:
        decode(turn)

    assert caught.value.param == param
    assert param in caught.value.message


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "tools[0].type"),
        ({"tools": [{"type": "code_execution_20250825", "name": "x"}]}, "tools[0].type"),
        ({"mcp_servers": [{"type": "url", "url": "https://e.example", "name": "x"}]}, "mcp_servers"),
        ({"container": "c"}, "container"),
        ({"context_management": {"edits": [{"type": "compact_20260112"}]}}, "context_management.edits"),
    ],
)
def test_what_the_provider_would_run_is_refused_for_its_price_has_no_bound(fields, param):
    with pytest.raises(InvalidRequest) as caught:
        decode(**fields)

    assert caught.value.param == param


def test_files_of_the_operators_account_are_refused():
    with pytest.raises(InvalidRequest):
        decode(user({"type": "document", "source": {"type": "file", "file_id": "f"}}))


def test_the_bound_counts_everything_the_model_reads():
    words, signature = "ü" * 500, "s" * 300
    request = decode(user(text(words)), assistant({"type": "thinking", "thinking": "x", "signature": signature}), system="y" * 200)

    assert request.prompt_bytes >= 1000 + 300 + 200


@pytest.mark.parametrize(
    ("finish", "native", "expected"),
    [
        ("stop", "end_turn", "end_turn"), ("stop", "stop", "end_turn"), ("stop", "stop_sequence", "stop_sequence"),
        ("stop", "pause_turn", "pause_turn"), ("length", "MAX_TOKENS", "max_tokens"), ("tool_calls", "STOP", "tool_use"),
        ("length", "model_context_window_exceeded", "model_context_window_exceeded"), ("content_filter", "SAFETY", "refusal"),
    ],
)  # fmt: skip
def test_reasons_to_stop_are_anthropics(finish, native, expected):
    assert stop_reason(finish, native, None) == expected


def test_arguments_cut_short_are_shown_and_not_lost():
    call = {"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"x": "unfin'}}
    choice = {"index": 0, "message": {"role": "assistant", "content": None, "tool_calls": [call]}, "finish_reason": "length"}

    answer = msgspec.json.decode(MessagesClient().encode_answer({"choices": [choice]}, decode(), HEAD, CLOSING))

    assert answer["content"][0]["input"] == {"arguments": '{"x": "unfin'}
    assert answer["stop_reason"] == "max_tokens"


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "invalid_request_error"), (401, "authentication_error"), (402, "billing_error"), (403, "permission_error"),
        (404, "not_found_error"), (413, "request_too_large"), (429, "rate_limit_error"), (500, "api_error"), (502, "api_error"),
        (503, "overloaded_error"), (504, "timeout_error"),
    ],
)  # fmt: skip
def test_errors_have_anthropics_types(status, kind):
    error = {"code": status, "message": "m", "metadata": {"error_type": "server"}}

    body = msgspec.json.decode(encode_messages_error(error, "gen-1"))

    assert (body["type"], body["error"], body["request_id"]) == ("error", {"type": kind, "message": "m", "error_type": "server"}, "gen-1")


_text_blocks = st.builds(text, texts)
_results = st.builds(lambda words: {"type": "tool_result", "tool_use_id": "a", "content": words}, texts)
_thinking = st.builds(lambda words: {"type": "thinking", "thinking": words, "signature": "sig"}, texts)
_uses = st.builds(lambda value: {"type": "tool_use", "id": "a", "name": "f", "input": value}, arguments)
_turns = st.tuples(
    st.lists(st.tuples(st.lists(_results, max_size=2), st.lists(_text_blocks, min_size=1, max_size=2)), min_size=2, max_size=3),
    st.lists(st.tuples(st.lists(_thinking, max_size=1), _text_blocks, st.lists(_uses, max_size=2)), min_size=1, max_size=1),
)


@settings(max_examples=60, deadline=None)
@given(turns=_turns)
def test_there_and_back_a_conversation_means_the_same(turns):
    """Through the canonical form to a provider of the same format, without the short cut."""
    (first, *later), ((thoughts, words, uses),) = turns
    said = [user(*first[0], *first[1]), assistant(*thoughts, words, *uses), *(user(*results, *blocks) for results, blocks in later[:1])]

    _, body = upstream(decode(*said), native=False)

    assert body["messages"] == said


def test_a_choice_of_a_tool_that_is_not_there_is_refused_by_name():
    with pytest.raises(InvalidRequest) as refusal:
        decode(tools=[{"name": "f", "input_schema": {"type": "object"}}], tool_choice={"type": "tool", "name": "g"})
    assert refusal.value.param == "tool_choice.name"
