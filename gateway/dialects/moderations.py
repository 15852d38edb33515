"""Verdicts of providers in OpenAI's form, which Mistral has as well. Pure."""

from typing import Any

from catalog.types import EndpointSpec, ProviderSpec, Usage
from gateway.dialects.base import Answer, BadAnswer, ChatRequest, InvalidRequest, Json, UpstreamCall
from gateway.dialects.faults import malformed
from gateway.dialects.units import JSON_HEADERS, UnitDialect, encode_json, read_answer, whole_answer
from gateway.dialects.usage import usage_from_chat


class OpenAiModerations(UnitDialect):
    """POST …/moderations."""

    def encode_request(
        self, request: ChatRequest, endpoint: EndpointSpec, provider: ProviderSpec, *, stream: bool, max_tokens: int | None
    ) -> UpstreamCall:
        """Pass the input through. Raises: InvalidRequest for pictures where only text is read."""
        del provider, stream, max_tokens
        if request.image_parts and "image" not in endpoint.input_modalities:
            raise InvalidRequest("This model judges text only.", "input")
        body = {"model": endpoint.provider_model_id, "input": request.body["input"]}
        return UpstreamCall(path="/moderations", body=encode_json(body), headers=JSON_HEADERS)

    def decode_answer(self, body: bytes) -> Answer:
        """Read the verdicts. Raises: BadAnswer."""
        parsed = read_answer(body, "list of verdicts")
        rows = parsed.get("results")
        results = [_verdict(row) for row in rows] if isinstance(rows, list) else []
        if not results:
            raise BadAnswer(malformed("an answer without a verdict"))
        usage: Usage | None = usage_from_chat(parsed.get("usage"))
        return whole_answer({"results": results}, usage, upstream_id=parsed.get("id"))


def _verdict(row: Any) -> Json:
    categories, scores = (row.get("categories"), row.get("category_scores")) if isinstance(row, dict) else (None, None)
    if not isinstance(categories, dict) or not isinstance(scores, dict):
        raise BadAnswer(malformed("a verdict that says nothing"))
    flagged = row.get("flagged")
    return {**row, "flagged": flagged if isinstance(flagged, bool) else any(value is True for value in categories.values())}
