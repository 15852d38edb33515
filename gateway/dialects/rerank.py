"""Rankings at providers: Jina's form, which the hosts of open models share, Cohere's and Voyage's. Pure."""

from typing import Any

from catalog.types import EndpointSpec, ProviderSpec, Usage
from gateway.dialects.base import Answer, BadAnswer, ChatRequest, InvalidRequest, Json, UpstreamCall
from gateway.dialects.faults import malformed
from gateway.dialects.units import JSON_HEADERS, UnitDialect, encode_json, read_answer, whole_answer
from gateway.dialects.usage import count

_WHAT = "ranking"


def _texts(request: ChatRequest) -> list[str]:
    """Return the documents' texts. Raises: InvalidRequest for pictures."""
    texts = []
    for place, one in enumerate(request.body["documents"]):
        if isinstance(one, dict) and "image" in one:
            raise InvalidRequest(f"documents[{place}]: this model's provider ranks text only.", f"documents[{place}].image")
        texts.append(one if isinstance(one, str) else one["text"])
    return texts


def _call(body: Json) -> UpstreamCall:
    return UpstreamCall(path="/rerank", body=encode_json(body), headers=JSON_HEADERS)


def _results(rows: Any) -> list[tuple[int, float]]:
    """Return (place of the document, score), best first. Raises: BadAnswer."""
    found: list[tuple[int, float]] = []
    for row in rows if isinstance(rows, list) else ():
        place, score = (row.get("index"), row.get("relevance_score")) if isinstance(row, dict) else (None, None)
        if type(place) is not int or place < 0 or not isinstance(score, int | float):
            raise BadAnswer(malformed("a ranking that ranks nothing we know"))
        found.append((place, score))
    if not found:
        raise BadAnswer(malformed("an answer without a ranking"))
    return sorted(found, key=lambda one: -one[1])


def _token_usage(report: Any) -> Usage | None:
    if not isinstance(report, dict):
        return None
    tokens = report.get("total_tokens", report.get("prompt_tokens"))
    return None if tokens is None else Usage(input_tokens=count(tokens))


class JinaRerank(UnitDialect):
    """POST …/rerank of Jina, Together, Fireworks, Novita, SiliconFlow, vLLM and others."""

    def encode_request(
        self, request: ChatRequest, endpoint: EndpointSpec, provider: ProviderSpec, *, stream: bool, max_tokens: int | None
    ) -> UpstreamCall:
        """Write a ranking's question; the documents need not come back. Raises: InvalidRequest for pictures where only text is read."""
        del provider, stream, max_tokens
        documents = request.body["documents"] if "image" in endpoint.input_modalities else _texts(request)
        body: Json = {
            "model": endpoint.provider_model_id,
            "query": request.body["query"],
            "documents": documents,
            "return_documents": False,
        }
        if top := request.body.get("top_n"):
            body["top_n"] = min(top, len(documents))
        return _call(body)

    def decode_answer(self, body: bytes) -> Answer:
        """Read a ranking. Some hosts report usage as Cohere does. Raises: BadAnswer."""
        parsed = read_answer(body, _WHAT)
        usage = _token_usage(parsed.get("usage")) or _cohere_usage(parsed.get("meta"))
        return whole_answer({"results": _results(parsed.get("results"))}, usage, upstream_id=parsed.get("id"))


class CohereRerank(UnitDialect):
    """POST …/v2/rerank."""

    def encode_request(
        self, request: ChatRequest, endpoint: EndpointSpec, provider: ProviderSpec, *, stream: bool, max_tokens: int | None
    ) -> UpstreamCall:
        """Write a ranking's question. Raises: InvalidRequest for pictures."""
        del provider, stream, max_tokens
        documents = _texts(request)
        body: Json = {"model": endpoint.provider_model_id, "query": request.body["query"], "documents": documents}
        if top := request.body.get("top_n"):
            body["top_n"] = min(top, len(documents))
        return _call(body)

    def decode_answer(self, body: bytes) -> Answer:
        """Read a ranking; what was billed is in ``meta``. Raises: BadAnswer."""
        parsed = read_answer(body, _WHAT)
        return whole_answer({"results": _results(parsed.get("results"))}, _cohere_usage(parsed.get("meta")), upstream_id=parsed.get("id"))


def _cohere_usage(meta: Any) -> Usage | None:
    billed = meta.get("billed_units") if isinstance(meta, dict) else None
    if not isinstance(billed, dict) or not billed:
        return None
    return Usage(searches=count(billed.get("search_units")), input_tokens=count(billed.get("input_tokens")))


class VoyageRerank(UnitDialect):
    """POST …/rerank of Voyage: ``top_k``, and the ranking under ``data``."""

    def encode_request(
        self, request: ChatRequest, endpoint: EndpointSpec, provider: ProviderSpec, *, stream: bool, max_tokens: int | None
    ) -> UpstreamCall:
        """Write a ranking's question. Raises: InvalidRequest for pictures."""
        del provider, stream, max_tokens
        documents = _texts(request)
        body: Json = {"model": endpoint.provider_model_id, "query": request.body["query"], "documents": documents}
        if top := request.body.get("top_n"):
            body["top_k"] = min(top, len(documents))
        return _call(body)

    def decode_answer(self, body: bytes) -> Answer:
        """Read a ranking. Raises: BadAnswer."""
        parsed = read_answer(body, _WHAT)
        return whole_answer({"results": _results(parsed.get("data"))}, _token_usage(parsed.get("usage")))
