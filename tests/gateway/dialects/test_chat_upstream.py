"""Chat Completions to Chat Completions: everything passes but what must change."""

import msgspec
import pytest

from gateway.dialects.chat_completions import ROUTER_FIELDS, ChatCompletionsDialect, hashed_user
from tests.gateway.dialects.builders import endpoint, provider, request

ALL = {
    "temperature",
    "top_p",
    "seed",
    "tools",
    "tool_choice",
    "response_format",
    "stop",
    "reasoning",
    "include_reasoning",
    "reasoning_effort",
}


def encode(read, *, slug="host", supports=ALL, stream=False, max_tokens=None):
    call = ChatCompletionsDialect().encode_request(read, endpoint(supports=supports), provider(slug), stream=stream, max_tokens=max_tokens)
    return msgspec.json.decode(call.body), call


def test_a_plain_request_passes_with_the_providers_name_for_the_model():
    body, call = encode(request(temperature=0.1, unknown_field=[1]))
    assert body == {"model": "model-1", "messages": [{"role": "user", "content": "hello"}], "temperature": 0.1, "unknown_field": [1]}
    assert (call.path, call.query, call.dropped) == ("/chat/completions", {}, ())


def test_no_field_for_the_router_reaches_a_provider():
    router_fields = {
        name: {} for name in ROUTER_FIELDS if name not in ("models", "reasoning_effort", "session_id", "include_reasoning", "plugins")
    }
    body, _ = encode(request(**router_fields, models=["x"], plugins=[], session_id="s"))
    assert set(body) == {"model", "messages"}


@pytest.mark.parametrize(("slug", "sent"), [("host", {"max_tokens": 7}), ("openai", {"max_completion_tokens": 7})])
@pytest.mark.parametrize("theirs", [{"max_tokens": 9}, {"max_completion_tokens": 9}, {"max_tokens": 3, "max_completion_tokens": 9}])
def test_the_bound_of_tokens_goes_under_the_hosts_name_and_the_relays_wins(slug, sent, theirs):
    body, _ = encode(request(**theirs), slug=slug, max_tokens=7)
    assert {name: value for name, value in body.items() if name.startswith("max")} == sent
    body, _ = encode(request(**theirs), slug=slug)
    assert {name: value for name, value in body.items() if name.startswith("max")} == {next(iter(sent)): 9}


def test_usage_is_asked_for_in_every_stream_whatever_the_client_said():
    body, _ = encode(request(stream=True, stream_options={"include_usage": False, "other": 1}), stream=True)
    assert body["stream"] is True
    assert body["stream_options"] == {"include_usage": True, "other": 1}


def test_a_host_that_reports_usage_unasked_gets_no_stream_options():
    body, _ = encode(request(stream=True, stream_options={"include_usage": True}), slug="mistral", stream=True)
    assert "stream_options" not in body


def test_a_request_that_is_not_streamed_says_nothing_about_streams():
    body, _ = encode(request(stream=True, stream_options={"include_usage": True}))
    assert "stream" not in body
    assert "stream_options" not in body


def test_parameters_that_the_endpoint_does_not_list_are_left_out_and_reported():
    tool = {"type": "function", "function": {"name": "f"}}
    body, call = encode(request(seed=1, top_p=0.5, tools=[tool], parallel_tool_calls=True), supports={"top_p"})
    assert set(body) == {"model", "messages", "top_p"}
    assert set(call.dropped) == {"seed", "tools", "parallel_tool_calls"}


def test_parameters_that_a_strict_host_refuses_are_left_out():
    body, call = encode(request(min_p=0.1, repetition_penalty=1.1), slug="openai")
    assert set(body) == {"model", "messages"}
    assert set(call.dropped) == {"min_p", "repetition_penalty"}


def test_the_end_users_name_is_hashed():
    body, _ = encode(request(user="eva@example.com"))
    assert body["user"] == hashed_user("eva@example.com")
    assert "eva" not in body["user"]


@pytest.mark.parametrize(
    ("slug", "fields", "sent"),
    [
        ("openai", {"reasoning": {"effort": "xhigh"}}, {"reasoning_effort": "xhigh"}),
        ("openai", {"reasoning": {"effort": "max"}}, {"reasoning_effort": "xhigh"}),
        ("openai", {"reasoning": {"enabled": True}}, {"reasoning_effort": "medium"}),
        ("openai", {"reasoning": {"enabled": False}}, {"reasoning_effort": "none"}),
        ("host", {"reasoning_effort": "minimal"}, {"reasoning_effort": "low"}),
        ("host", {"reasoning_effort": "none"}, {}),
        ("host", {"include_reasoning": True}, {"reasoning_effort": "medium"}),
        ("host", {"include_reasoning": False}, {}),
        ("deepseek", {"reasoning": {"effort": "high"}}, {"thinking": {"type": "enabled"}}),
        ("deepseek", {"reasoning_effort": "none"}, {"thinking": {"type": "disabled"}}),
        ("alibaba", {"reasoning": {"max_tokens": 500}}, {"enable_thinking": True, "thinking_budget": 500}),
        ("openrouter", {"reasoning": {"effort": "high", "exclude": True}}, {"reasoning": {"effort": "high", "exclude": True}}),
        ("minimax", {"reasoning_effort": "high"}, {}),
    ],
)
def test_the_wish_to_think_is_put_in_the_hosts_words(slug, fields, sent):
    body, _ = encode(request(**fields), slug=slug)
    assert {name: value for name, value in body.items() if name not in ("model", "messages")} == sent


def test_an_endpoint_that_does_not_think_is_not_asked_to():
    body, call = encode(request(reasoning={"effort": "high"}), supports={"temperature"})
    assert set(body) == {"model", "messages"}
    assert call.dropped == ("reasoning",)


EXTRAS = [
    {"role": "developer", "content": [{"type": "text", "text": "be brief", "cache_control": {"type": "ephemeral"}}]},
    {"role": "assistant", "content": "a", "reasoning": "r", "reasoning_details": [{}], "annotations": [], "model": "m", "images": []},
]


def test_what_only_routers_know_of_a_message_is_taken_out_and_the_request_stays_as_it_was():
    read = request(messages=EXTRAS, tools=[{"type": "function", "function": {"name": "f"}, "cache_control": {"type": "ephemeral"}}])
    before = msgspec.json.encode(read.body)
    body, _ = encode(read)
    assert body["messages"] == [
        {"role": "system", "content": [{"type": "text", "text": "be brief"}]},
        {"role": "assistant", "content": "a"},
    ]
    assert body["tools"] == [{"type": "function", "function": {"name": "f"}}]
    assert msgspec.json.encode(read.body) == before


def test_hosts_that_know_extras_keep_them():
    assert encode(request(messages=EXTRAS), slug="openai")[0]["messages"][0]["role"] == "developer"
    assert encode(request(messages=EXTRAS), slug="alibaba")[0]["messages"][0]["content"][0]["cache_control"] == {"type": "ephemeral"}
    assert encode(request(messages=EXTRAS), slug="deepseek")[0]["messages"][1] == {
        "role": "assistant", "content": "a", "reasoning_content": "r",
    }  # fmt: skip
    assert encode(request(messages=EXTRAS), slug="openrouter")[0]["messages"][1]["reasoning_details"] == [{}]
