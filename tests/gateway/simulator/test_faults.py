"""Everything the simulator can be told to do wrong, and what the decoders make of it."""

import time

import httpx
import pytest

from catalog.types import Usage
from gateway.dialects.base import BadAnswer
from gateway.dialects.registry import dialect_for
from gateway.relay.sse import SseDecoder
from gateway.simulator.directives import BadDirective, Counters, active_directives, find_in_text, parse_directives
from tests.gateway.dialects.builders import request
from tests.gateway.simulator.calls import CLIENT, ask, ask_streamed, body_of, post

DIALECTS = ["chat_completions", "messages", "gemini"]


def told(words: str, **fields):
    return request(messages=[{"role": "user", "content": f"hello [[simulate: {words}]]"}], **fields)


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize(
    ("status", "error_type"),
    [(400, "invalid_request"), (429, "rate_limit_exceeded"), (500, "provider_unavailable"), (503, "provider_overloaded")],
)
def test_a_status_is_answered_in_the_wire_formats_own_shape(simulator_url, dialect, status, error_type):
    response = post(simulator_url, dialect, told(f"status={status}"), stream=True)
    fault = dialect_for(dialect).decode_error(response.status_code, response.headers.get, response.content)
    assert (response.status_code, fault.error_type) == (status, error_type)
    assert response.headers["x-tollway-simulated"] == "1"
    assert fault.retry_after_s == (1.0 if status in (429, 503) else None)


def test_retry_after_can_be_chosen(simulator_url):
    assert post(simulator_url, "messages", told("status=429 retry_after=9"), stream=False).headers["retry-after"] == "9"


@pytest.mark.parametrize("where", ["message", "header", "metadata"])
def test_the_words_may_come_in_the_message_in_a_header_or_in_metadata(simulator_url, where):
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
    headers = {}
    if where == "message":
        body["messages"][0]["content"] += " [[simulate: status=418]]"
    elif where == "header":
        headers["x-simulate"] = "status=418"
    else:
        body["metadata"] = {"simulate": "status=418"}
    assert CLIENT.post(f"{simulator_url}/v1/chat/completions", json=body, headers=headers).status_code == 418


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_first_calls_fail_and_later_ones_succeed(simulator_url, dialect):
    words = f"status=503 times=2 key=first-{dialect}"
    statuses = [post(simulator_url, dialect, told(words), stream=False).status_code for _ in range(4)]
    assert statuses == [503, 503, 200, 200]


def test_a_fault_can_be_bound_to_one_provider(simulator_url):
    read = told("status=500 only=openai")
    assert post(f"{simulator_url}/p/openai", "chat_completions", read, stream=False).status_code == 500
    assert post(f"{simulator_url}/p/groq", "chat_completions", read, stream=False).status_code == 200


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("stream", [False, True])
def test_the_connection_drops_in_the_middle(simulator_url, dialect, stream):
    with pytest.raises(httpx.RemoteProtocolError):
        post(simulator_url, dialect, told("cut_after=4"), stream=stream)


def test_what_came_before_the_drop_is_usable(simulator_url):
    decoder = dialect_for("chat_completions").new_stream_decoder()
    with pytest.raises(httpx.RemoteProtocolError):
        _read_into(decoder, simulator_url, "cut_after=4")
    assert (decoder.output_seen, decoder.complete, decoder.usage) == (True, False, None)


def _read_into(decoder, url, words):
    frames = SseDecoder()
    body = {"model": "m", "stream": True, "messages": [{"role": "user", "content": f"hi [[simulate: {words}]]"}]}
    with CLIENT.stream("POST", f"{url}/v1/chat/completions", json=body) as response:
        for piece in response.iter_raw():
            for event in frames.feed(piece):
                decoder.decode(event)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_broken_json_is_a_fault(simulator_url, dialect):
    decoder, _ = ask_streamed(simulator_url, dialect, told("malformed=3"))
    assert decoder.fault.code == "malformed_answer"
    with pytest.raises(BadAnswer):
        ask(simulator_url, dialect, told("malformed"))


@pytest.mark.parametrize("dialect", DIALECTS)
def test_an_error_inside_a_success_is_a_fault(simulator_url, dialect):
    decoder, chunks = ask_streamed(simulator_url, dialect, told("error_in_stream=4"))
    assert chunks
    assert decoder.fault.status in (502, 503)
    with pytest.raises(BadAnswer):
        ask(simulator_url, dialect, told("error_in_stream"))


@pytest.mark.parametrize("dialect", DIALECTS)
def test_missing_usage_is_none_and_zero_usage_is_zero(simulator_url, dialect):
    decoder, _ = ask_streamed(simulator_url, dialect, told("missing_usage"))
    assert (decoder.usage, ask(simulator_url, dialect, told("missing_usage")).usage) == (None, None)
    assert decoder.output_chars > 0
    decoder, _ = ask_streamed(simulator_url, dialect, told("zero_usage"))
    assert decoder.usage == ask(simulator_url, dialect, told("zero_usage")).usage == Usage()


@pytest.mark.parametrize("words", ["usage_every_chunk", "crlf", "drip", "no_done", "drip crlf", "usage_every_chunk no_done"])
@pytest.mark.parametrize("dialect", DIALECTS)
def test_odd_but_legal_streams_are_read_in_full(simulator_url, dialect, words):
    decoder, _ = ask_streamed(simulator_url, dialect, told(words, max_tokens=6))
    assert (decoder.complete, decoder.usage.completion_tokens) == (True, 6)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_an_empty_answer_has_neither_output_nor_finish_reason(simulator_url, dialect):
    answer = ask(simulator_url, dialect, told("empty"))
    assert (answer.output_seen, answer.finish_reason, answer.usage.completion_tokens) == (False, None, 0)
    decoder, _ = ask_streamed(simulator_url, dialect, told("empty"))
    assert (decoder.output_seen, decoder.finish_reason, decoder.usage.completion_tokens) == (False, None, 0)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_another_model_than_asked_is_seen(simulator_url, dialect):
    assert ask(simulator_url, dialect, told("wrong_model")).served_model == "simulated/another-model"


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_refusal_is_a_content_filter(simulator_url, dialect):
    assert ask(simulator_url, dialect, told("refuse")).finish_reason == "content_filter"


@pytest.mark.parametrize("dialect", DIALECTS)
def test_an_answer_has_as_many_tokens_as_told(simulator_url, dialect):
    assert ask(simulator_url, dialect, told("big=500")).usage.output_tokens == 500
    assert ask(simulator_url, dialect, told("big=500", max_tokens=30)).usage.output_tokens == 30


def test_delays_are_kept(simulator_url):
    began = time.monotonic()
    ask(simulator_url, "chat_completions", told("delay_ms=150 first_token_ms=100"))
    assert 0.25 <= time.monotonic() - began < 5


@pytest.mark.parametrize("words", ["hang", "hang=3", "first_token_ms=60000", "delay_ms=60000"])
def test_a_client_that_leaves_is_noticed_at_once(simulator_url, words):
    before = body_of(CLIENT.get(f"{simulator_url}/stats"))
    body = {"model": "m", "stream": True, "messages": [{"role": "user", "content": f"[[simulate: {words}]]"}]}
    with pytest.raises(httpx.ReadTimeout):
        CLIENT.post(f"{simulator_url}/v1/chat/completions", json=body, timeout=0.2)
    deadline = time.monotonic() + 1
    while (after := body_of(CLIENT.get(f"{simulator_url}/stats")))["abandoned"] == before["abandoned"]:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert after["streaming"] == 0


@pytest.mark.parametrize("words", ["explode", "status", "status=ok", "status=200", "cut_after=-1", "key=", "missing_usage=3"])
def test_words_that_are_unknown_are_refused(simulator_url, words):
    with pytest.raises(BadDirective):
        parse_directives(words)
    assert post(simulator_url, "messages", told(words), stream=False).status_code == 400


def test_the_last_directive_of_a_text_counts():
    assert find_in_text("[[simulate: a]] and [[ simulate: b c ]]") == "b c "
    assert find_in_text("no directive") == ""


def test_counters_forget_nothing_within_their_bound():
    counters = Counters()
    directives = parse_directives("status=500 times=1")
    first = [active_directives(directives, slug="", prompt_key=str(key), counters=counters) for key in range(100)]
    again = [active_directives(directives, slug="", prompt_key=str(key), counters=counters) for key in range(100)]
    assert all(first)
    assert not any(again)


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/v1/models", b"", 200),
        ("GET", "/p/openai/v1/models", b"", 200),
        ("GET", "/healthz", b"", 200),
        ("GET", "/elsewhere", b"", 404),
        ("POST", "/elsewhere", b"{}", 404),
        ("PUT", "/v1/chat/completions", b"{}", 404),
        ("POST", "/v1/chat/completions", b"{", 400),
        ("POST", "/v1/chat/completions", b"[]", 400),
        ("POST", "/v1/chat/completions", b"{}", 400),
        ("POST", "/v1/messages", b'{"messages":[{"role":"user","content":"x"}]}', 400),
        ("POST", "/v1beta/models/m:generateContent", b'{"contents":[]}', 400),
        ("POST", "/v1beta/models/m:countTokens", b"{}", 404),
    ],
)
def test_paths_and_bodies(simulator_url, method, path, body, status):
    response = CLIENT.request(method, simulator_url + path, content=body)
    assert response.status_code == status
    assert response.headers["x-tollway-simulated"] == "1"
    body_of(response)
