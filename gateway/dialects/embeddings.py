"""Embeddings at providers: OpenAI's form, which most hosts share, and Gemini's. Pure."""

from abc import ABC, abstractmethod
from typing import Any
from urllib.parse import quote

import msgspec

from catalog.types import EndpointSpec, ProviderSpec, Usage
from gateway.dialects.base import (
    Answer,
    BadAnswer,
    ChatRequest,
    HeaderLookup,
    InvalidRequest,
    Json,
    StreamDecoder,
    UpstreamCall,
    UpstreamFault,
)
from gateway.dialects.chat_completions import hashed_user
from gateway.dialects.faults import fault_from_status, make_fault, malformed
from gateway.dialects.usage import count, usage_from_chat, usage_from_gemini
from gateway.dialects.vectors import check_vector
from gateway.providers.table import quirks_for

_encode_json = msgspec.json.Encoder().encode
_HEADERS = {"content-type": "application/json"}
_TASKS = {
    "search_query": "RETRIEVAL_QUERY",
    "search_document": "RETRIEVAL_DOCUMENT",
    "query": "RETRIEVAL_QUERY",
    "document": "RETRIEVAL_DOCUMENT",
}


class _Vector(msgspec.Struct):
    embedding: msgspec.Raw
    index: int | None = None


class _List(msgspec.Struct):
    data: list[_Vector] = []
    usage: Json | None = None
    model: str | None = None
    id: str | None = None
    error: Any = None


class _Values(msgspec.Struct):
    values: msgspec.Raw


class _Batch(msgspec.Struct):
    embeddings: list[_Values] = []
    usage: Json | None = msgspec.field(default=None, name="usageMetadata")
    error: Any = None


_decode_list = msgspec.json.Decoder(_List).decode
_decode_batch = msgspec.json.Decoder(_Batch).decode


class EmbeddingDialect(ABC):
    """What both forms share."""

    @abstractmethod
    def encode_request(
        self, request: ChatRequest, endpoint: EndpointSpec, provider: ProviderSpec, *, stream: bool, max_tokens: int | None
    ) -> UpstreamCall:
        """Write ``request`` for ``endpoint``."""

    @abstractmethod
    def decode_answer(self, body: bytes) -> Answer:
        """Read a 200."""

    def new_stream_decoder(self) -> StreamDecoder:
        """Embeddings are never streamed: no request asks for it."""
        raise InvalidRequest("Embeddings are not streamed.", "stream")

    def decode_error(self, status: int, header: HeaderLookup, body: bytes) -> UpstreamFault:
        """Read an error answer."""
        return fault_from_status(status, header, body)


class OpenAiEmbeddings(EmbeddingDialect):
    """POST …/embeddings."""

    def encode_request(
        self, request: ChatRequest, endpoint: EndpointSpec, provider: ProviderSpec, *, stream: bool, max_tokens: int | None
    ) -> UpstreamCall:
        """Pass the input through. ``input_type`` is sent where the endpoint lists it: OpenAI refuses unknown fields."""
        del stream, max_tokens
        dropped = ("input_type",) if "input_type" in request.body and "input_type" not in endpoint.supported_parameters else ()
        body: Json = {"model": endpoint.provider_model_id, **{name: value for name, value in request.body.items() if name not in dropped}}
        if request.user and quirks_for(provider).user_field:
            body["user"] = hashed_user(request.user)
        return UpstreamCall(path="/embeddings", body=_encode_json(body), headers=_HEADERS, dropped=dropped)

    def decode_answer(self, body: bytes) -> Answer:
        """Read a list of vectors. Raises: BadAnswer."""
        try:
            parsed = _decode_list(body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise BadAnswer(malformed("an answer that is no list of embeddings")) from error
        refuse_embeddings(parsed.error, found=bool(parsed.data))
        report = parsed.usage
        if report is not None and "prompt_tokens" not in report and "total_tokens" in report:
            report = {"prompt_tokens": report["total_tokens"]}
        vectors = [
            {"object": "embedding", "index": place if one.index is None else one.index, "embedding": one.embedding}
            for place, one in enumerate(parsed.data)
        ]
        return embeddings_answer(vectors, usage_from_chat(report), upstream_id=parsed.id or "", served_model=parsed.model or "")


class GeminiEmbeddings(EmbeddingDialect):
    """POST …/models/{model}:batchEmbedContents, which reports no usage in most versions."""

    def encode_request(
        self, request: ChatRequest, endpoint: EndpointSpec, provider: ProviderSpec, *, stream: bool, max_tokens: int | None
    ) -> UpstreamCall:
        """Translate. Raises: InvalidRequest for token ids and media."""
        del provider, stream, max_tokens
        model = endpoint.provider_model_id
        options: Json = {"model": f"models/{model}"}
        if "dimensions" in request.body:
            options["outputDimensionality"] = request.body["dimensions"]
        if task := gemini_task(request.body):
            options["taskType"] = task
        given = request.body["input"]
        texts = [given] if isinstance(given, str) else given
        requests = [{**options, "content": {"parts": [{"text": text_of_input(one, place)}]}} for place, one in enumerate(texts)]
        path = f"/models/{quote(model, safe='')}:batchEmbedContents"
        return UpstreamCall(path=path, body=_encode_json({"requests": requests}), headers=_HEADERS)

    def decode_answer(self, body: bytes) -> Answer:
        """Read a batch of vectors. Raises: BadAnswer."""
        try:
            parsed = _decode_batch(body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise BadAnswer(malformed("an answer that is no batch of embeddings")) from error
        refuse_embeddings(parsed.error, found=bool(parsed.embeddings))
        vectors = [{"object": "embedding", "index": place, "embedding": one.values} for place, one in enumerate(parsed.embeddings)]
        report = parsed.usage
        usage = usage_from_gemini(report) if report is not None and count(report.get("promptTokenCount")) else None
        return embeddings_answer(vectors, usage)


def gemini_task(body: Json) -> str:
    """Return Google's word for the ``input_type`` that was asked for, '' for none."""
    kind = body.get("input_type")
    return _TASKS.get(kind, kind.upper()) if kind else ""


def text_of_input(one: Any, place: int) -> str:
    """Return an input's words. Raises: InvalidRequest for token ids and media."""
    if isinstance(one, str):
        return one
    parts = one.get("content") if isinstance(one, dict) else None
    if parts and all(part["type"] == "text" for part in parts):
        return "\n".join(part["text"] for part in parts)
    raise InvalidRequest(f"input[{place}]: this model's provider takes text only.", f"input[{place}]")


def refuse_embeddings(error: Any, *, found: bool) -> None:
    """Do nothing for an answer that has embeddings and no error. Raises: BadAnswer."""
    if error:
        raise BadAnswer(make_fault(error if isinstance(error, dict) else {"message": str(error)}, status=200))
    if not found:
        raise BadAnswer(malformed("an answer without embeddings"))


def embeddings_answer(vectors: list[Json], usage: Usage | None, *, upstream_id: str = "", served_model: str = "") -> Answer:
    """Return vectors as an answer. Raises: BadAnswer for what is no vector."""
    for vector in vectors:
        check_vector(vector["embedding"])
    body: Json = {"object": "list", "data": vectors}
    return Answer(
        body=body,
        usage=usage,
        finish_reason=None,
        native_finish_reason=None,
        upstream_id=upstream_id,
        served_model=served_model,
        output_seen=True,
    )
