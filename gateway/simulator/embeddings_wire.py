"""The simulator's embeddings, in OpenAI's form and in Gemini's. Pure.

A vector comes from the hash of its text: the same text always has the same, of length one; what texts mean plays no part in it.
"""

import base64
import hashlib
import math
import struct
from collections.abc import Iterator
from typing import Any

from gateway.simulator.directives import Directives, find_in_text
from gateway.simulator.replies import SimReply, SimRequest, SimUsage
from gateway.simulator.tokens import count_tokens
from gateway.simulator.wire import BadBody, Frame, Json, Prompt, Wire

_DIMENSIONS, _DIMENSIONS_MAX = 256, 4096
_BYTES = 2


def vector_of(text: str, dimensions: int) -> list[float]:
    """Return the vector of ``text``, in numbers that 32-bit floats hold exactly."""
    data = hashlib.shake_256(text.encode()).digest(dimensions * _BYTES)
    raw = [value - 0x7FFF for value in struct.unpack(f"<{dimensions}H", data)]
    length = math.sqrt(sum(value * value for value in raw)) or 1.0
    return list(struct.unpack(f"<{dimensions}f", struct.pack(f"<{dimensions}f", *(value / length for value in raw))))


def _request(model: str, inputs: list[str], tokens: int, dimensions: Any, *, is_base64: bool) -> SimRequest:
    dimensions = _DIMENSIONS if dimensions is None else dimensions
    if not isinstance(dimensions, int) or not 1 <= dimensions <= _DIMENSIONS_MAX:
        raise BadBody(f"dimensions must be a whole number from 1 to {_DIMENSIONS_MAX}")
    prompt = Prompt()
    for text in inputs:
        prompt.add_text(text)
    return SimRequest(
        model=model,
        prompt_tokens=tokens,
        prompt_key=prompt.key,
        control=find_in_text(inputs[-1]),
        make=embed,
        inputs=tuple(inputs),
        dimensions=dimensions,
        is_base64=is_base64,
    )


def embed(request: SimRequest) -> SimReply:
    """Return the vectors of a request's inputs."""
    vectors = [vector_of(text, request.dimensions) for text in request.inputs]
    usage = SimUsage(input_tokens=request.prompt_tokens)
    name = request.prompt_key[:24]
    return SimReply(id=name, model=request.model, choices=[], usage=usage, vectors=vectors, is_base64=request.is_base64)


class _EmbeddingsWire:
    """What both forms share: no streams, and the errors of the format that chats have there."""

    def __init__(self, errors: Wire) -> None:
        self._errors = errors

    def frames(self, reply: SimReply, request: SimRequest, *, directives: Directives) -> Iterator[Frame]:
        """Nothing asks for a stream of embeddings."""
        del reply, request, directives
        return iter(())

    def error(self, status: int, message: str) -> Json:
        """Write an error body."""
        return self._errors.error(status, message)

    def error_frame(self, message: str) -> Frame:
        """Write an error inside a stream."""
        return self._errors.error_frame(message)


class OpenAiEmbeddingsWire(_EmbeddingsWire):
    """POST /v1/embeddings."""

    def read(self, body: Json, *, model: str, stream: bool) -> SimRequest:
        """Reduce a body."""
        del stream
        given = body.get("input")
        given = [given] if isinstance(given, str) else given
        if not isinstance(given, list) or not given:
            raise BadBody("'input' must be a string or an array and not empty")
        if isinstance(given[0], int):
            given = [given]
        inputs = [one if isinstance(one, str) else str(one) for one in given]
        tokens = sum(len(one) if isinstance(one, list) else count_tokens(str(one)) for one in given)
        name = str(body.get("model") or model)
        return _request(name, inputs, tokens, body.get("dimensions"), is_base64=body.get("encoding_format") == "base64")

    def answer(self, reply: SimReply, *, directives: Directives) -> Json:
        """Write a list of vectors."""
        body: Json = {
            "object": "list",
            "model": reply.model,
            "data": [
                {"object": "embedding", "index": place, "embedding": _base64(vector) if reply.is_base64 else vector}
                for place, vector in enumerate(reply.vectors)
            ],
        }
        if "missing_usage" not in directives:
            tokens = 0 if "zero_usage" in directives else reply.usage.prompt_tokens
            body["usage"] = {"prompt_tokens": tokens, "total_tokens": tokens}
        return body


class GeminiEmbeddingsWire(_EmbeddingsWire):
    """POST /v1beta/models/{model}:batchEmbedContents. Reports usage, as the newest models do."""

    def read(self, body: Json, *, model: str, stream: bool) -> SimRequest:
        """Reduce a body."""
        del stream
        requests = body.get("requests")
        if not isinstance(requests, list) or not requests:
            raise BadBody("requests must not be empty")
        inputs = ["\n".join(part.get("text", "") for part in (one.get("content") or {}).get("parts") or ()) for one in requests]
        tokens = sum(count_tokens(text) for text in inputs)
        return _request(model, inputs, tokens, requests[0].get("outputDimensionality"), is_base64=False)

    def answer(self, reply: SimReply, *, directives: Directives) -> Json:
        """Write a batch of vectors."""
        body: Json = {"embeddings": [{"values": vector} for vector in reply.vectors]}
        if "missing_usage" not in directives:
            body["usageMetadata"] = {"promptTokenCount": 0 if "zero_usage" in directives else reply.usage.prompt_tokens}
        return body


class VertexEmbeddingsWire(GeminiEmbeddingsWire):
    """POST …/publishers/google/models/{model}:embedContent (one content) and :batchEmbedContents: options in an object of their own."""

    def read(self, body: Json, *, model: str, stream: bool) -> SimRequest:
        """Reduce a body."""
        given = body.get("requests") or [body]
        requests = [{**one, **(one.get("embedContentConfig") or {})} for one in given]
        return super().read({"requests": requests}, model=model, stream=stream)

    def answer(self, reply: SimReply, *, directives: Directives) -> Json:
        """Write one vector by itself, several as a batch."""
        body = super().answer(reply, directives=directives)
        if len(reply.vectors) == 1:
            body["embedding"] = body.pop("embeddings")[0]
        return body


class VertexPredictionsWire(_EmbeddingsWire):
    """POST …/publishers/google/models/{model}:predict: each prediction counts its tokens."""

    def read(self, body: Json, *, model: str, stream: bool) -> SimRequest:
        """Reduce a body."""
        del stream
        instances = body.get("instances")
        if not isinstance(instances, list) or not instances:
            raise BadBody("instances must not be empty")
        inputs = [str(one.get("content", "")) for one in instances]
        tokens = sum(count_tokens(text) for text in inputs)
        return _request(model, inputs, tokens, (body.get("parameters") or {}).get("outputDimensionality"), is_base64=False)

    def answer(self, reply: SimReply, *, directives: Directives) -> Json:
        """Write the predictions; the first counts what all of them read but one token each."""
        counts = [reply.usage.prompt_tokens - len(reply.vectors) + 1, *[1] * (len(reply.vectors) - 1)]
        rows: list[Json] = [{"embeddings": {"values": vector}} for vector in reply.vectors]
        if "missing_usage" not in directives:
            for row, tokens in zip(rows, counts, strict=True):
                row["embeddings"]["statistics"] = {"token_count": tokens, "truncated": False}
        return {"predictions": rows}


def _words(one: Any) -> str:
    parts = one.get("content") if isinstance(one, dict) else one
    return (
        " ".join(str(part.get("text", "") if isinstance(part, dict) else part) for part in parts) if isinstance(parts, list) else str(one)
    )


class CohereEmbeddingsWire(_EmbeddingsWire):
    """POST /v2/embed."""

    def read(self, body: Json, *, model: str, stream: bool) -> SimRequest:
        """Reduce a body."""
        del stream
        inputs = [_words(one) for one in body.get("texts") or body.get("inputs") or ()]
        if not inputs or not body.get("input_type"):
            raise BadBody("texts or inputs, and input_type, are required")
        tokens = sum(count_tokens(text) for text in inputs)
        return _request(str(body.get("model") or model), inputs, tokens, body.get("output_dimension"), is_base64=False)

    def answer(self, reply: SimReply, *, directives: Directives) -> Json:
        """Write vectors by type, and what was billed."""
        body: Json = {"id": reply.id, "embeddings": {"float": reply.vectors}}
        if "missing_usage" not in directives:
            tokens = 0 if "zero_usage" in directives else reply.usage.prompt_tokens
            body["meta"] = {"api_version": {"version": "2"}, "billed_units": {"input_tokens": tokens}}
        return body

    def error(self, status: int, message: str) -> Json:
        """Write an error body: a message and nothing else."""
        del status
        return {"message": message}


class VoyageEmbeddingsWire(_EmbeddingsWire):
    """POST /v1/embeddings, /v1/multimodalembeddings and /v1/contextualizedembeddings of Voyage."""

    def read(self, body: Json, *, model: str, stream: bool) -> SimRequest:
        """Reduce a body."""
        del stream
        inputs = [_words(one) for one in body.get("input") or body.get("inputs") or ()]
        if not inputs:
            raise BadBody("input must not be empty")
        tokens = sum(count_tokens(text) for text in inputs)
        return _request(str(body.get("model") or model), inputs, tokens, body.get("output_dimension"), is_base64=False)

    def answer(self, reply: SimReply, *, directives: Directives) -> Json:
        """Write vectors; of models with context, a list for each document."""
        rows = [{"object": "embedding", "embedding": vector, "index": place} for place, vector in enumerate(reply.vectors)]
        if "context" in reply.model:
            rows = [{"object": "list", "data": [{**row, "index": 0}], "index": row["index"]} for row in rows]
        body: Json = {"object": "list", "data": rows, "model": reply.model}
        if "missing_usage" not in directives:
            body["usage"] = {"total_tokens": 0 if "zero_usage" in directives else reply.usage.prompt_tokens}
        return body

    def error(self, status: int, message: str) -> Json:
        """Write an error body as FastAPI does."""
        del status
        return {"detail": message}


def _base64(vector: list[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
