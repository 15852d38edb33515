"""The simulator's vectors: the same for the same text, of length one, in both forms."""

import base64
import math
import struct

import pytest

from gateway.simulator.embeddings_wire import GeminiEmbeddingsWire, OpenAiEmbeddingsWire, embed, vector_of
from gateway.simulator.gemini_wire import GeminiWire
from gateway.simulator.openai_wire import OpenAiWire
from gateway.simulator.wire import BadBody

OPENAI, GEMINI = OpenAiEmbeddingsWire(OpenAiWire()), GeminiEmbeddingsWire(GeminiWire())


def openai_answer(**body):
    return OPENAI.answer(embed(OPENAI.read({"model": "m", **body}, model="", stream=False)), directives={})


def test_a_vector_belongs_to_its_text_alone():
    assert vector_of("road", 64) == vector_of("road", 64) != vector_of("hill", 64)
    assert math.isclose(sum(value * value for value in vector_of("road", 64)), 1, rel_tol=1e-6)


def test_both_forms_and_base64_have_the_same_numbers():
    vector = vector_of("road", 16)
    gemini = GEMINI.read({"requests": [{"content": {"parts": [{"text": "road"}]}, "outputDimensionality": 16}]}, model="m", stream=False)
    (packed,) = openai_answer(input="road", dimensions=16, encoding_format="base64")["data"]

    assert openai_answer(input=["road"], dimensions=16)["data"][0]["embedding"] == vector
    assert list(struct.unpack("<16f", base64.b64decode(packed["embedding"]))) == vector
    assert GEMINI.answer(embed(gemini), directives={})["embeddings"] == [{"values": vector}]


def test_tokens_are_counted_like_those_of_chats():
    assert openai_answer(input=["12345678", "1"])["usage"] == {"prompt_tokens": 3, "total_tokens": 3}
    assert openai_answer(input=[5, 6, 7])["usage"]["prompt_tokens"] == 3


@pytest.mark.parametrize("body", [{}, {"input": []}, {"input": "x", "dimensions": 0}, {"input": "x", "dimensions": "8"}])
def test_a_body_that_is_no_request_is_refused(body):
    with pytest.raises(BadBody):
        OPENAI.read(body, model="m", stream=False)
