"""Embeddings on Google's Vertex: three forms, by the model's name. Pure.

As Google's own client asks (google-genai 3.6, ``models.py``): Gemini's models by ``:embedContent``, several texts by
``:batchEmbedContents``, options in ``embedContentConfig``; the older text models by ``:predict`` with an instance for each text, whose
predictions count their tokens; ``multimodalembedding`` by ``:predict`` too, one text at a time and without counts.
"""

from urllib.parse import quote

import msgspec

from catalog.types import EndpointSpec, ProviderSpec, Usage
from gateway.dialects.base import Answer, BadAnswer, ChatRequest, InvalidRequest, Json, UpstreamCall
from gateway.dialects.embeddings import EmbeddingDialect, embeddings_answer, gemini_task, refuse_embeddings, text_of_input
from gateway.dialects.faults import malformed
from gateway.dialects.units import JSON_HEADERS, encode_json
from gateway.dialects.usage import count, usage_from_gemini

_MULTIMODAL = "multimodalembedding"


class _Values(msgspec.Struct):
    values: msgspec.Raw = msgspec.Raw()
    statistics: Json | None = None


class _Prediction(msgspec.Struct):
    embeddings: _Values | None = None
    text: msgspec.Raw = msgspec.field(default=msgspec.Raw(), name="textEmbedding")

    @property
    def vector(self) -> msgspec.Raw:
        return self.text if self.embeddings is None else self.embeddings.values


class _Answer(msgspec.Struct):
    embedding: _Values | None = None
    embeddings: list[_Values] = []
    predictions: list[_Prediction] = []
    usage: Json | None = msgspec.field(default=None, name="usageMetadata")
    error: Json | None = None


_decode = msgspec.json.Decoder(_Answer).decode


class VertexEmbeddings(EmbeddingDialect):
    """POST …/publishers/google/models/{model}:embedContent, :batchEmbedContents or :predict."""

    def encode_request(
        self, request: ChatRequest, endpoint: EndpointSpec, provider: ProviderSpec, *, stream: bool, max_tokens: int | None
    ) -> UpstreamCall:
        """Translate. Raises: InvalidRequest for token ids and media, and for several texts where one is all that is taken."""
        del provider, stream, max_tokens
        model, given = endpoint.provider_model_id, request.body["input"]
        texts = [text_of_input(one, place) for place, one in enumerate([given] if isinstance(given, str) else given)]
        task, dimensions = gemini_task(request.body), request.body.get("dimensions")
        if model.startswith("gemini"):
            method, body = _embed_contents(texts, task, dimensions)
        else:
            method, body = "predict", _predict(model, texts, task, dimensions)
        path = f"/publishers/google/models/{quote(model, safe='@')}:{method}"
        return UpstreamCall(path=path, body=encode_json(body), headers=JSON_HEADERS)

    def decode_answer(self, body: bytes) -> Answer:
        """Read an answer of any of the forms. Raises: BadAnswer."""
        try:
            parsed = _decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise BadAnswer(malformed("an answer that is no embeddings")) from error
        found = [one.values for one in parsed.embeddings] or [one.vector for one in parsed.predictions]
        if parsed.embedding is not None:
            found = [parsed.embedding.values]
        refuse_embeddings(parsed.error, found=bool(found) and all(found))
        vectors: list[Json] = [{"object": "embedding", "index": place, "embedding": one} for place, one in enumerate(found)]
        return embeddings_answer(vectors, _usage(parsed))


def _embed_contents(texts: list[str], task: str, dimensions: int | None) -> tuple[str, Json]:
    """Return the method and the body."""
    wishes = {"taskType": task or None, "outputDimensionality": dimensions}
    options: Json = {name: value for name, value in wishes.items() if value is not None}
    requests: list[Json] = [
        {"content": {"role": "user", "parts": [{"text": text}]}, **({"embedContentConfig": options} if options else {})} for text in texts
    ]
    return ("embedContent", requests[0]) if len(requests) == 1 else ("batchEmbedContents", {"requests": requests})


def _predict(model: str, texts: list[str], task: str, dimensions: int | None) -> Json:
    if model.startswith(_MULTIMODAL):
        if len(texts) > 1:
            raise InvalidRequest("This model's provider takes one input at a time.", "input")
        return {"instances": [{"text": texts[0]}], **({"parameters": {"dimension": dimensions}} if dimensions else {})}
    body: Json = {"instances": [{"content": text, **({"task_type": task} if task else {})} for text in texts]}
    if dimensions:
        body["parameters"] = {"outputDimensionality": dimensions}
    return body


def _usage(parsed: _Answer) -> Usage | None:
    """Return what was counted, None where that is not all of it."""
    if parsed.usage is not None and count(parsed.usage.get("promptTokenCount")):
        return usage_from_gemini(parsed.usage)
    counts = [count((one.embeddings.statistics or {}).get("token_count")) for one in parsed.predictions if one.embeddings is not None]
    return Usage(input_tokens=sum(counts)) if counts and all(counts) else None
