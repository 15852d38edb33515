"""Google's Vertex as an upstream: Gemini, Claude, Mistral and others, each in its maker's format at an address of its own. Pure.

Addresses (cloud.google.com/vertex-ai/generative-ai/docs): ``publishers/google/models/…:generateContent``; Claude and Mistral by
``:rawPredict`` and ``:streamRawPredict`` (the model is in the path, Claude's format version in the body); all others by
``endpoints/openapi/chat/completions``.
"""

from urllib.parse import quote

import msgspec
from msgspec.structs import replace

from catalog.types import EndpointSpec, ProviderSpec
from gateway.dialects.base import ChatRequest, Json, UpstreamCall
from gateway.dialects.chat_completions import ChatCompletionsDialect
from gateway.dialects.gemini import GeminiDialect
from gateway.dialects.messages import MessagesDialect

_encode_json = msgspec.json.Encoder().encode
_decode_json = msgspec.json.Decoder().decode
_CLAUDE_VERSION = "vertex-2023-10-16"


def _raw_predict(publisher: str, model: str, *, stream: bool) -> str:
    return f"/publishers/{publisher}/models/{quote(model, safe='@')}:{'streamRawPredict' if stream else 'rawPredict'}"


class VertexGemini(GeminiDialect):
    """POST …/publishers/google/models/{model}:generateContent."""

    def encode_request(
        self, request: ChatRequest, endpoint: EndpointSpec, provider: ProviderSpec, *, stream: bool, max_tokens: int | None
    ) -> UpstreamCall:
        """Translate. Raises: InvalidRequest for parts that Gemini cannot carry."""
        call = super().encode_request(request, endpoint, provider, stream=stream, max_tokens=max_tokens)
        return replace(call, path=f"/publishers/google{call.path}")


class VertexClaude(MessagesDialect):
    """POST …/publishers/anthropic/models/{model}:rawPredict."""

    def encode_request(
        self, request: ChatRequest, endpoint: EndpointSpec, provider: ProviderSpec, *, stream: bool, max_tokens: int | None
    ) -> UpstreamCall:
        """Translate. Raises: InvalidRequest for parts that Messages cannot carry."""
        call = super().encode_request(request, endpoint, provider, stream=stream, max_tokens=max_tokens)
        body: Json = {"anthropic_version": _CLAUDE_VERSION, **_decode_json(call.body)}
        del body["model"]
        headers = {name: value for name, value in call.headers.items() if name != "anthropic-version"}
        return replace(
            call, path=_raw_predict("anthropic", endpoint.provider_model_id, stream=stream), body=_encode_json(body), headers=headers
        )


class VertexMistral(ChatCompletionsDialect):
    """POST …/publishers/mistralai/models/{model}:rawPredict."""

    def encode_request(
        self, request: ChatRequest, endpoint: EndpointSpec, provider: ProviderSpec, *, stream: bool, max_tokens: int | None
    ) -> UpstreamCall:
        """Pass the client's body through with the needed edits."""
        # Mistral's own quirks; its name for the model has no date.
        own = replace(provider, slug="mistral", like="")
        plain = replace(endpoint, provider_model_id=endpoint.provider_model_id.partition("@")[0])
        call = super().encode_request(request, plain, own, stream=stream, max_tokens=max_tokens)
        return replace(call, path=_raw_predict("mistralai", endpoint.provider_model_id, stream=stream))


class VertexOpenApi(ChatCompletionsDialect):
    """POST …/endpoints/openapi/chat/completions."""

    def encode_request(
        self, request: ChatRequest, endpoint: EndpointSpec, provider: ProviderSpec, *, stream: bool, max_tokens: int | None
    ) -> UpstreamCall:
        """Pass the client's body through with the needed edits."""
        call = super().encode_request(request, endpoint, provider, stream=stream, max_tokens=max_tokens)
        return replace(call, path=f"/endpoints/openapi{call.path}")


def make_vertex_dialects() -> dict[str, GeminiDialect | MessagesDialect | ChatCompletionsDialect]:
    """Return the dialects by what a model's name begins with; '' is all others."""
    mistral = VertexMistral()
    return {
        "gemini": VertexGemini(),
        "claude": VertexClaude(),
        "mistral": mistral,
        "codestral": mistral,
        "ministral": mistral,
        "": VertexOpenApi(),
    }
