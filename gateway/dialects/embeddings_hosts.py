"""Embeddings at providers with forms of their own: Cohere, Voyage, Jina. Pure."""

from typing import Any

import msgspec

from catalog.types import EndpointSpec, ProviderSpec, Usage
from gateway.dialects.base import Answer, BadAnswer, ChatRequest, InvalidRequest, Json, UpstreamCall
from gateway.dialects.embeddings import EmbeddingDialect, OpenAiEmbeddings, embeddings_answer, refuse_embeddings, text_of_input
from gateway.dialects.faults import malformed
from gateway.dialects.units import JSON_HEADERS, encode_json
from gateway.dialects.usage import count

_COHERE_TYPES = {"query": "search_query", "document": "search_document"}
_VOYAGE_TYPES = {"search_query": "query", "search_document": "document"}
_JINA_TASKS = {
    "query": "retrieval.query",
    "document": "retrieval.passage",
    "search_query": "retrieval.query",
    "search_document": "retrieval.passage",
}
_COHERE_INPUTS_MAX = 96


class _ByType(msgspec.Struct):
    floats: list[msgspec.Raw] = msgspec.field(name="float", default_factory=list)


class _CohereAnswer(msgspec.Struct):
    embeddings: _ByType = msgspec.field(default_factory=_ByType)
    id: str | None = None
    meta: Json | None = None
    message: str | None = None


class _Row(msgspec.Struct):
    embedding: msgspec.Raw = msgspec.Raw()  # empty in a row of rows
    data: "list[_Row]" = []


class _VoyageAnswer(msgspec.Struct):
    data: list[_Row] = []
    usage: Json | None = None
    detail: Any = None


_decode_cohere = msgspec.json.Decoder(_CohereAnswer).decode
_decode_voyage = msgspec.json.Decoder(_VoyageAnswer).decode


def _inputs(request: ChatRequest) -> list[Any]:
    given = request.body["input"]
    return [given] if isinstance(given, str) else given


def _rows(vectors: list[msgspec.Raw]) -> list[Json]:
    return [{"object": "embedding", "index": place, "embedding": one} for place, one in enumerate(vectors)]


def _parts(one: Any, place: int) -> list[Json]:
    """Return an input as parts of text and pictures. Raises: InvalidRequest for token ids and other media."""
    if isinstance(one, str):
        return [{"type": "text", "text": one}]
    parts = one.get("content") if isinstance(one, dict) else None
    if not parts or any(part["type"] not in ("text", "image_url") for part in parts):
        raise InvalidRequest(f"input[{place}]: this model's provider takes texts and pictures only.", f"input[{place}]")
    return list(parts)


class CohereEmbeddings(EmbeddingDialect):
    """POST …/v2/embed."""

    def encode_request(
        self, request: ChatRequest, endpoint: EndpointSpec, provider: ProviderSpec, *, stream: bool, max_tokens: int | None
    ) -> UpstreamCall:
        """Translate. A kind of input is required there: documents, unless the client says otherwise. Raises: InvalidRequest."""
        del provider, stream, max_tokens
        inputs = _inputs(request)
        if len(inputs) > _COHERE_INPUTS_MAX:
            raise InvalidRequest(f"This model's provider takes at most {_COHERE_INPUTS_MAX} inputs at once.", "input")
        kind = request.body.get("input_type") or "search_document"
        body: Json = {"model": endpoint.provider_model_id, "input_type": _COHERE_TYPES.get(kind, kind), "embedding_types": ["float"]}
        if all(isinstance(one, str) for one in inputs):
            body["texts"] = inputs
        else:
            body["inputs"] = [{"content": _parts(one, place)} for place, one in enumerate(inputs)]
        if "dimensions" in request.body:
            body["output_dimension"] = request.body["dimensions"]
        return UpstreamCall(path="/embed", body=encode_json(body), headers=JSON_HEADERS)

    def decode_answer(self, body: bytes) -> Answer:
        """Read vectors; what was billed is in ``meta``. Raises: BadAnswer."""
        try:
            parsed = _decode_cohere(body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise BadAnswer(malformed("an answer that is no list of embeddings")) from error
        vectors = parsed.embeddings.floats
        refuse_embeddings(parsed.message, found=bool(vectors))
        billed = (parsed.meta or {}).get("billed_units")
        usage = None
        if isinstance(billed, dict) and billed:
            usage = Usage(input_tokens=count(billed.get("input_tokens")), image_input_tokens=count(billed.get("image_tokens")))
        return embeddings_answer(_rows(vectors), usage, upstream_id=parsed.id or "")


class VoyageEmbeddings(EmbeddingDialect):
    """POST …/embeddings, …/multimodalembeddings or …/contextualizedembeddings, as the model is."""

    def encode_request(
        self, request: ChatRequest, endpoint: EndpointSpec, provider: ProviderSpec, *, stream: bool, max_tokens: int | None
    ) -> UpstreamCall:
        """Translate. Raises: InvalidRequest for token ids, and for pictures where only text is read."""
        del provider, stream, max_tokens
        model, inputs = endpoint.provider_model_id, _inputs(request)
        body: Json = {"model": model}
        if kind := request.body.get("input_type"):
            body["input_type"] = _VOYAGE_TYPES.get(kind, kind)
        if "dimensions" in request.body:
            body["output_dimension"] = request.body["dimensions"]
        if "multimodal" in model:
            body["inputs"] = [{"content": [_voyage_part(part) for part in _parts(one, place)]} for place, one in enumerate(inputs)]
            return UpstreamCall(path="/multimodalembeddings", body=encode_json(body), headers=JSON_HEADERS)
        texts = [text_of_input(one, place) for place, one in enumerate(inputs)]
        if "context" in model:
            # Each input is a document of one piece: its neighbours are nobody else's context.
            body["inputs"] = [[text] for text in texts]
            return UpstreamCall(path="/contextualizedembeddings", body=encode_json(body), headers=JSON_HEADERS)
        body["input"] = texts
        return UpstreamCall(path="/embeddings", body=encode_json(body), headers=JSON_HEADERS)

    def decode_answer(self, body: bytes) -> Answer:
        """Read vectors, in lists of lists for models with context. Raises: BadAnswer."""
        try:
            parsed = _decode_voyage(body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise BadAnswer(malformed("an answer that is no list of embeddings")) from error
        rows = [inner for row in parsed.data for inner in (row.data or (row,))]
        vectors = [row.embedding for row in rows if bytes(row.embedding)]
        refuse_embeddings(parsed.detail, found=bool(vectors))
        report = parsed.usage
        usage = None if report is None or report.get("total_tokens") is None else Usage(input_tokens=count(report["total_tokens"]))
        return embeddings_answer(_rows(vectors), usage)


def _voyage_part(part: Json) -> Json:
    if part["type"] == "text":
        return {"type": "text", "text": part["text"]}
    url = part["image_url"]["url"]
    return {"type": "image_base64", "image_base64": url} if url.startswith("data:") else {"type": "image_url", "image_url": url}


class JinaEmbeddings(OpenAiEmbeddings):
    """POST …/embeddings of Jina: OpenAI's form with a task in the place of a kind of input."""

    def encode_request(
        self, request: ChatRequest, endpoint: EndpointSpec, provider: ProviderSpec, *, stream: bool, max_tokens: int | None
    ) -> UpstreamCall:
        """Translate. Raises: InvalidRequest for token ids."""
        del provider, stream, max_tokens
        inputs = [text_of_input(one, place) for place, one in enumerate(_inputs(request))]
        body: Json = {"model": endpoint.provider_model_id, "input": inputs}
        if "dimensions" in request.body:
            body["dimensions"] = request.body["dimensions"]
        if kind := request.body.get("input_type"):
            body["task"] = _JINA_TASKS.get(kind, kind)
        return UpstreamCall(path="/embeddings", body=encode_json(body), headers=JSON_HEADERS)
