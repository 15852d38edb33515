"""Chat requests in Gemini's form, and its answers in chat form."""

import msgspec
import pytest

from catalog.types import Usage
from gateway.dialects.base import BadAnswer, InvalidRequest
from gateway.dialects.gemini import GeminiDialect
from gateway.dialects.gemini_answers import GeminiStreamDecoder, decode_gemini_answer
from tests.gateway.dialects.builders import HELLO, deltas, endpoint, provider, request, run_stream

ALL = {"temperature", "top_p", "seed", "tools", "tool_choice", "reasoning", "response_format", "structured_outputs", "stop"}


def encode(read, *, model="gemini-2.5-flash", supports=ALL, stream=False, max_tokens=None):
    call = GeminiDialect().encode_request(
        read, endpoint(model, supports=supports), provider("google", "gemini", "query-key"), stream=stream, max_tokens=max_tokens
    )
    return msgspec.json.decode(call.body), call


def test_a_plain_request_in_geminis_form():
    body, call = encode(
        request(
            messages=[{"role": "system", "content": "be brief"}, *HELLO], temperature=0.5, top_k=3, stop=["a"], max_tokens=9, n=2, min_p=0.1
        ),
        stream=True,
    )
    assert body == {
        "systemInstruction": {"parts": [{"text": "be brief"}]},
        "contents": [{"role": "user", "parts": [{"text": "hello"}]}],
        "generationConfig": {"temperature": 0.5, "stopSequences": ["a"], "maxOutputTokens": 9, "candidateCount": 2},
    }
    assert (call.path, call.query) == ("/models/gemini-2.5-flash:streamGenerateContent", {"alt": "sse"})
    assert set(call.dropped) == {"min_p", "top_k"}
    assert encode(request())[1].path == "/models/gemini-2.5-flash:generateContent"


def conversation(details):
    return [
        {"role": "user", "name": "Eva", "content": "weather?"},
        {
            "role": "assistant",
            "content": None,
            "reasoning_details": details,
            "tool_calls": [
                {"id": "a", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Brno"}'}},
                {"id": "b", "type": "function", "function": {"name": "now", "arguments": ""}},
            ],
        },
        {"role": "tool", "tool_call_id": "a", "content": '{"celsius":21}'},
        {"role": "tool", "tool_call_id": "b", "content": "noon"},
        {"role": "system", "content": "Hurry."},
    ]


def test_a_conversation_with_tools_names_its_results():
    read = request(messages=conversation([]))
    before = msgspec.json.encode(read.body)
    body, _ = encode(read)
    assert body["contents"] == [
        {"role": "user", "parts": [{"text": "Eva: weather?"}]},
        {
            "role": "model",
            "parts": [{"functionCall": {"name": "weather", "args": {"city": "Brno"}}}, {"functionCall": {"name": "now", "args": {}}}],
        },
        {
            "role": "user",
            "parts": [
                {"functionResponse": {"name": "weather", "response": {"celsius": 21}}},
                {"functionResponse": {"name": "now", "response": {"result": "noon"}}},
                {"text": "<system>\nHurry.\n</system>"},
            ],
        },
    ]
    assert msgspec.json.encode(read.body) == before


@pytest.mark.parametrize(
    ("details", "signatures"),
    [
        ([{"type": "reasoning.encrypted", "data": "S", "format": "google-gemini-v1", "id": "a"}], ["S", None]),
        ([{"type": "reasoning.encrypted", "data": "S", "format": "google-gemini-v1"}], ["S", None]),
        ([{"type": "reasoning.encrypted", "data": "S", "format": "anthropic-claude-v1"}], ["skip_thought_signature_validator", None]),
        ([], ["skip_thought_signature_validator", None]),
    ],
)
def test_signatures_of_thoughts_go_back_with_their_calls(details, signatures):
    body, _ = encode(request(messages=conversation(details)), model="gemini-3.5-flash")
    assert [part.get("thoughtSignature") for part in body["contents"][1]["parts"]] == signatures


def test_media_goes_by_address_or_inside():
    parts = [
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
        {"type": "image_url", "image_url": {"url": "https://example.com/a.webp?x=1"}},
        {"type": "input_audio", "input_audio": {"data": "BBBB", "format": "mp3"}},
        {"type": "video_url", "video_url": {"url": "https://example.com/v"}},
        {"type": "file", "file": {"file_data": "data:application/pdf;base64,CCCC"}},
    ]
    body, _ = encode(request(messages=[{"role": "user", "content": parts}]))
    assert body["contents"][0]["parts"] == [
        {"inlineData": {"mimeType": "image/png", "data": "AAAA"}},
        {"fileData": {"fileUri": "https://example.com/a.webp?x=1", "mimeType": "image/webp"}},
        {"inlineData": {"mimeType": "audio/mp3", "data": "BBBB"}},
        {"fileData": {"fileUri": "https://example.com/v", "mimeType": "video/mp4"}},
        {"inlineData": {"mimeType": "application/pdf", "data": "CCCC"}},
    ]
    with pytest.raises(InvalidRequest) as caught:
        encode(request(messages=[{"role": "user", "content": [{"type": "file", "file": {"file_id": "f"}}]}]))
    assert caught.value.param == "messages[0].content[0]"


@pytest.mark.parametrize(
    ("choice", "config"),
    [
        ("auto", {"mode": "AUTO"}),
        ("none", {"mode": "NONE"}),
        ("required", {"mode": "ANY"}),
        ({"type": "function", "function": {"name": "f"}}, {"mode": "ANY", "allowedFunctionNames": ["f"]}),
    ],
)
def test_tools_and_the_choice_among_them(choice, config):
    schema = {"type": "object", "properties": {"q": {"type": ["string", "null"]}}, "additionalProperties": False}
    tools = [
        {"type": "function", "function": {"name": "f", "description": "d", "parameters": schema}},
        {"type": "function", "function": {"name": "g"}},
    ]
    body, _ = encode(request(tools=tools, tool_choice=choice))
    cleaned = {"type": "object", "properties": {"q": {"type": "string", "nullable": True}}}
    assert body["tools"] == [{"functionDeclarations": [{"name": "f", "description": "d", "parameters": cleaned}, {"name": "g"}]}]
    assert body["toolConfig"] == {"functionCallingConfig": config}


@pytest.mark.parametrize(
    ("model", "fields", "config"),
    [
        ("gemini-2.5-flash", {"reasoning": {"max_tokens": 500}}, {"includeThoughts": True, "thinkingBudget": 500}),
        ("gemini-2.5-flash", {"reasoning": {"effort": "medium"}, "max_tokens": 1000}, {"includeThoughts": True, "thinkingBudget": 500}),
        ("gemini-2.5-flash", {"reasoning": {"enabled": True, "exclude": True}}, {"includeThoughts": False}),
        ("gemini-2.5-flash", {"reasoning_effort": "none"}, {"thinkingBudget": 0}),
        ("gemini-3.5-flash", {"reasoning": {"effort": "minimal"}}, {"includeThoughts": True, "thinkingLevel": "low"}),
        ("gemini-3.5-flash", {"reasoning": {"effort": "xhigh"}}, {"includeThoughts": True, "thinkingLevel": "high"}),
        ("gemini-3.5-flash", {"reasoning_effort": "none"}, {"thinkingLevel": "low"}),
        ("gemini-3.5-flash", {}, None),
    ],
)
def test_the_wish_to_think_becomes_a_budget_or_a_level(model, fields, config):
    body, _ = encode(request(**fields), model=model)
    assert body.get("generationConfig", {}).get("thinkingConfig") == config


def test_structured_output_asks_for_json():
    schema = {"type": "object", "properties": {"q": {"type": "string"}}, "$schema": "x"}
    form = {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}
    options = encode(request(response_format=form))[0]["generationConfig"]
    assert options == {
        "responseMimeType": "application/json",
        "responseSchema": {"type": "object", "properties": {"q": {"type": "string"}}},
    }


def piece(parts=None, finish=None, usage=None, index=0, **more):
    candidate = {"content": {"role": "model", "parts": parts or []}, "index": index, **({"finishReason": finish} if finish else {})}
    return {"candidates": [candidate], "modelVersion": "served", "responseId": "r1", **({"usageMetadata": usage} if usage else {}), **more}


REPORT = {"promptTokenCount": 10, "candidatesTokenCount": 5, "thoughtsTokenCount": 7, "totalTokenCount": 22}
CALL = {"functionCall": {"name": "f", "args": {"x": 1}}, "thoughtSignature": "S"}


def test_a_stream_becomes_chat_chunks():
    decoder = GeminiStreamDecoder()
    chunks = run_stream(
        decoder,
        piece([{"text": "hm", "thought": True}], usage={"promptTokenCount": 10}),
        piece([{"text": "Hello"}], usage={"promptTokenCount": 10, "candidatesTokenCount": 1}),
        piece([CALL, {"functionCall": {"name": "g", "id": "given"}}]),
        piece([], "STOP", REPORT),
    )
    first, second, third, last = deltas(chunks)
    details = {"format": "google-gemini-v1", "index": 0}
    assert first == {
        "role": "assistant",
        "content": "",
        "reasoning": "hm",
        "reasoning_details": [{"type": "reasoning.text", "text": "hm", **details}],
    }
    assert second == {"content": "Hello"}
    call_id = third["tool_calls"][0]["id"]
    assert third == {
        "tool_calls": [
            {"index": 0, "id": call_id, "type": "function", "function": {"name": "f", "arguments": '{"x":1}'}},
            {"index": 1, "id": "given", "type": "function", "function": {"name": "g", "arguments": "{}"}},
        ],
        "reasoning_details": [{"type": "reasoning.encrypted", "data": "S", "id": call_id, **details}],
    }
    assert last == {}
    assert (decoder.finish_reason, decoder.native_finish_reason, decoder.complete) == ("tool_calls", "STOP", True)
    assert decoder.usage == Usage(input_tokens=10, output_tokens=5, reasoning_tokens=7)
    assert (decoder.upstream_id, decoder.served_model) == ("r1", "served")


def test_a_whole_answer_says_the_same_as_a_stream_of_one_piece():
    read = decode_gemini_answer(msgspec.json.encode(piece([{"text": "Hel"}, {"text": "lo"}, CALL], "STOP", REPORT)))
    (choice,) = read.body["choices"]
    message = choice["message"]
    assert (message["role"], message["content"], choice["finish_reason"]) == ("assistant", "Hello", "tool_calls")
    assert message["tool_calls"][0]["function"] == {"name": "f", "arguments": '{"x":1}'}
    assert "index" not in message["tool_calls"][0]
    assert (read.usage.completion_tokens, read.output_seen) == (12, True)


@pytest.mark.parametrize(
    ("native", "canonical"),
    [
        ("STOP", "stop"),
        ("MAX_TOKENS", "length"),
        ("SAFETY", "content_filter"),
        ("RECITATION", "content_filter"),
        ("BLOCKLIST", "content_filter"),
        ("PROHIBITED_CONTENT", "content_filter"),
        ("SPII", "content_filter"),
        ("MALFORMED_FUNCTION_CALL", "error"),
        ("OTHER", "error"),
        ("NEW_WORD", "stop"),
        ("FINISH_REASON_UNSPECIFIED", None),
    ],
)
def test_finish_reasons_are_normalised(native, canonical):
    decoder = GeminiStreamDecoder()
    run_stream(decoder, piece([{"text": "x"}], native))
    assert decoder.finish_reason == canonical


def test_a_refused_prompt_ends_with_a_content_filter_and_its_prompt_is_counted():
    body = {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, "usageMetadata": {"promptTokenCount": 9, "totalTokenCount": 9}}
    read = decode_gemini_answer(msgspec.json.encode(body))
    assert (read.finish_reason, read.native_finish_reason, read.usage, read.output_seen) == (
        "content_filter",
        "PROHIBITED_CONTENT",
        Usage(input_tokens=9),
        False,
    )


def test_candidates_keep_apart():
    decoder = GeminiStreamDecoder()
    chunks = run_stream(
        decoder, piece([{"text": "a"}]), piece([{"text": "b"}], index=1), piece([], "STOP", index=1), piece([], "MAX_TOKENS")
    )
    assert [(one["choices"][0]["index"], one["choices"][0]["finish_reason"]) for one in chunks] == [
        (0, None),
        (1, None),
        (1, "stop"),
        (0, "length"),
    ]


def test_searches_are_counted_and_cited():
    grounding = {"webSearchQueries": ["a", "b"], "groundingChunks": [{"web": {"uri": "https://example.com", "title": "t"}}]}
    body = piece([{"text": "x"}], "STOP", REPORT)
    body["candidates"][0]["groundingMetadata"] = grounding
    read = decode_gemini_answer(msgspec.json.encode(body))
    assert read.usage.searches == 2
    assert read.body["choices"][0]["message"]["annotations"][0]["url_citation"]["url"] == "https://example.com"


@pytest.mark.parametrize("body", [b"", b"[]", b"3", b'{"error":{"code":503,"message":"x","status":"UNAVAILABLE"}}'])
def test_a_success_that_is_no_answer_is_refused(body):
    with pytest.raises(BadAnswer):
        decode_gemini_answer(body)


def test_an_error_inside_a_stream_is_a_fault():
    decoder = GeminiStreamDecoder()
    assert run_stream(decoder, [{"error": {"code": 429, "message": "x", "status": "RESOURCE_EXHAUSTED"}}]) == []
    assert (decoder.fault.error_type, decoder.complete) == ("rate_limit_exceeded", False)


def test_the_largest_report_of_a_stream_counts_whenever_it_is_read():
    def piece(text, prompt, answered, **more):
        counts = {"promptTokenCount": prompt, "candidatesTokenCount": answered, "totalTokenCount": prompt + answered, **more}
        return {"candidates": [{"content": {"parts": [{"text": text}]}, "index": 0}], "usageMetadata": counts}

    decoder = GeminiStreamDecoder()
    run_stream(decoder, piece("a", 10, 1), piece("b", 10, 7, cachedContentTokenCount=4))
    assert decoder.usage == Usage(input_tokens=6, cache_read_tokens=4, output_tokens=7)
    run_stream(decoder, piece("c", 10, 2), piece("d", 10, 3))  # a partial repeat
    assert decoder.usage == Usage(input_tokens=6, cache_read_tokens=4, output_tokens=7)
    run_stream(decoder, piece("e", 10, 9))
    assert decoder.usage == Usage(input_tokens=10, output_tokens=9)
