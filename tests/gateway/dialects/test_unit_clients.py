"""Bodies for models that are no chats: whatever is sent is a bounded request or a mistake that is told, never a crash."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dialects.base import InvalidRequest
from gateway.dialects.client_registry import CLIENT_DIALECTS

FIELDS = {
    "rerank": ("query", "documents", "top_n", "model", "models", "provider", "user", "return_documents"),
    "images": (
        *("prompt", "n", "size", "resolution", "aspect_ratio", "quality", "background", "output_format", "output_compression", "seed"),
        *("stream", "input_references", "response_format", "model", "provider"),
    ),
    "audio/speech": ("input", "voice", "response_format", "speed", "instructions", "stream_format", "input_references", "model"),
    "audio/transcriptions": ("input_audio", "language", "prompt", "temperature", "response_format", "timestamp_granularities", "stream"),
    "moderations": ("input", "model", "models", "provider"),
}
WORDS = st.sampled_from(
    [
        "",
        "a road",
        "1024x1024",
        "0x0",
        "99x1",
        "2K",
        "auto",
        "16:9",
        "b64_json",
        "url",
        "wav",
        "AAAA",
        "verbose_json",
        "sse",
        "high",
        "text",
    ]
)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**40), 2**40)
    | st.floats(allow_nan=False, allow_infinity=False)
    | WORDS
    | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["text", "image", "type", "image_url", "url", "data", "format", "id"]), inner, max_size=3)
    ),
    max_leaves=6,
)


@pytest.mark.parametrize("path", FIELDS)
@given(data=st.data())
def test_any_body_is_a_bounded_request_or_a_mistake_that_is_told(path, data):
    body = data.draw(st.dictionaries(st.sampled_from(FIELDS[path]), VALUES, max_size=5))
    try:
        request = CLIENT_DIALECTS[f"/api/v1/{path}"].decode_request(msgspec.json.encode(body))
    except InvalidRequest as error:
        told = (error.message, error.param)
        assert told[0]
        return
    assert request.kind != "chat"
    assert request.message_count >= 1
    assert all(0 < most < 10**9 for most in request.units_max.values())
    assert all(0 <= likely < 10**9 for likely in request.units_likely.values())
    assert 0 <= request.answer_tokens_max < 10**9


@pytest.mark.parametrize("path", FIELDS)
@pytest.mark.parametrize("data", [b"", b"[]", b"3", b"{", b"\xff", b"null", b"[" * 5_000])
def test_what_is_no_object_is_told(path, data):
    with pytest.raises(InvalidRequest):
        CLIENT_DIALECTS[f"/api/v1/{path}"].decode_request(data)
