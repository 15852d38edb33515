"""Answers of providers for models that are no chats: an answer with something in it, or a fault; never a crash, never a negative count."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.types import METERS, Usage
from gateway.dialects.base import BadAnswer
from gateway.dialects.registry import find_dialect

DIALECTS = [
    (kind, name)
    for kind in ("embedding", "rerank", "image", "transcription", "moderation")
    for name in ("chat_completions", "gemini", "cohere", "voyage", "jina", "elevenlabs", "deepgram", "vertex")
    if find_dialect(name, kind) is not None
]
NAMES = st.sampled_from(
    [
        *(
            "data",
            "results",
            "index",
            "relevance_score",
            "usage",
            "meta",
            "billed_units",
            "search_units",
            "total_tokens",
            "b64_json",
            "url",
        ),
        *("text", "segments", "words", "duration", "seconds", "input_tokens", "output_tokens", "metadata", "channels", "alternatives"),
        *("transcript", "embeddings", "float", "embedding", "values", "candidates", "content", "parts", "inlineData", "usageMetadata"),
        *(
            "predictions",
            "bytesBase64Encoded",
            "categories",
            "category_scores",
            "error",
            "message",
            "type",
            "audio_duration_secs",
            "statistics",
            "token_count",
            "textEmbedding",
        ),
    ]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.floats(allow_nan=False) | st.sampled_from(["", "AAAA", "word", "\u00fc"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize(("kind", "name"), DIALECTS)
@given(value=st.dictionaries(NAMES, VALUES, max_size=5) | VALUES)
def test_any_json_is_an_answer_or_a_fault(kind, name, value):
    dialect = find_dialect(name, kind)
    try:
        answer = dialect.decode_answer(msgspec.json.encode(value))
    except BadAnswer as bad:
        fault = bad.fault
        assert (fault.message != "", fault.status >= 400) == (True, True)
        return
    assert any(answer.body.values())
    usage = answer.usage or Usage()
    assert all(getattr(usage, meter) >= 0 for meter in METERS)


@pytest.mark.parametrize(("kind", "name"), DIALECTS)
@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"{", b"\xff\xfe", b"{}", b'{"error":{"message":"no"}}'])
def test_what_is_no_answer_is_a_fault(kind, name, body):
    with pytest.raises(BadAnswer):
        find_dialect(name, kind).decode_answer(body)
