"""Which dialect a provider's row means, by the type of model that is asked. A dialect has no state, so one object serves all."""

import re
from functools import lru_cache

from catalog.types import EndpointSpec, ModelType, ProviderSpec
from gateway.dialects.base import ChatRequest, InvalidRequest, UpstreamDialect
from gateway.dialects.bedrock import BedrockDialect
from gateway.dialects.chat_completions import ChatCompletionsDialect
from gateway.dialects.cohere import CohereDialect
from gateway.dialects.custom_tools import as_functions
from gateway.dialects.embeddings import GeminiEmbeddings, OpenAiEmbeddings
from gateway.dialects.embeddings_hosts import CohereEmbeddings, JinaEmbeddings, VoyageEmbeddings
from gateway.dialects.gemini import GeminiDialect
from gateway.dialects.gemini_images import GeminiImages
from gateway.dialects.images import OpenAiImages
from gateway.dialects.messages import MessagesDialect
from gateway.dialects.moderations import OpenAiModerations
from gateway.dialects.rerank import CohereRerank, JinaRerank, VoyageRerank
from gateway.dialects.responses import ResponsesDialect
from gateway.dialects.speech import DeepgramSpeech, ElevenLabsSpeech, GeminiSpeech, OpenAiSpeech
from gateway.dialects.transcriptions import ChatTranscriptions, DeepgramTranscriptions, ElevenLabsTranscriptions, OpenAiTranscriptions
from gateway.dialects.vertex import make_vertex_dialects
from gateway.dialects.vertex_embeddings import VertexEmbeddings
from gateway.providers.table import quirks_for

_VERTEX = make_vertex_dialects()
_GEMINI = GeminiDialect()
_DIALECTS: dict[ModelType, dict[str, UpstreamDialect]] = {
    "chat": {
        "chat_completions": ChatCompletionsDialect(),
        "messages": MessagesDialect(),
        "gemini": _GEMINI,
        "responses": ResponsesDialect(),
        "bedrock": BedrockDialect(),
        "cohere": CohereDialect(),
        "vertex": _VERTEX[""],
    },
    "embedding": {
        "chat_completions": OpenAiEmbeddings(),
        "gemini": GeminiEmbeddings(),
        "vertex": VertexEmbeddings(),
        "cohere": CohereEmbeddings(),
        "voyage": VoyageEmbeddings(),
        "jina": JinaEmbeddings(),
    },
    "moderation": {
        "chat_completions": OpenAiModerations(),
    },
    "speech": {
        "chat_completions": OpenAiSpeech(),
        "elevenlabs": ElevenLabsSpeech(),
        "deepgram": DeepgramSpeech(),
        "gemini": GeminiSpeech(),
        "vertex": GeminiSpeech("/publishers/google"),
    },
    "transcription": {
        "chat_completions": OpenAiTranscriptions(),
        "elevenlabs": ElevenLabsTranscriptions(),
        "deepgram": DeepgramTranscriptions(),
        "gemini": ChatTranscriptions(_GEMINI),
        "vertex": ChatTranscriptions(_VERTEX["gemini"]),
    },
    "image": {
        "chat_completions": OpenAiImages(),
        "gemini": GeminiImages(_GEMINI),
        "vertex": GeminiImages(_VERTEX["gemini"]),
    },
    # Hosts of OpenAI's form have taken over Jina's for this.
    "rerank": {
        "chat_completions": JinaRerank(),
        "jina": JinaRerank(),
        "cohere": CohereRerank(),
        "voyage": VoyageRerank(),
    },
}
# What the simulated provider is spoken to in where a provider's own format has no dialect here.
_SIMULATED = "chat_completions"


def find_dialect(name: str, kind: ModelType = "chat", *, simulated: bool = False) -> UpstreamDialect | None:
    """Return the dialect by the name in ``ProviderSpec.dialect``, for a type of model, or None where there is none."""
    known = _DIALECTS.get(kind, {})
    return known.get(name) or (known.get(_SIMULATED) if simulated else None)


def dialect_for(name: str, kind: ModelType = "chat", *, simulated: bool = False) -> UpstreamDialect:
    """Return what ``find_dialect`` finds. Raises: InvalidRequest where there is none."""
    found = find_dialect(name, kind, simulated=simulated)
    if found is None:
        raise InvalidRequest(f"This model's provider cannot answer for models of type {kind}.", "model")
    return found


def choose_dialect(request: ChatRequest, endpoint: EndpointSpec, provider: ProviderSpec, *, simulated: bool = False) -> UpstreamDialect:
    """Return the dialect in which ``endpoint`` is asked: its provider's, or another that the provider speaks as well.

    Hosts of Chat Completions that speak Responses too are asked in it by clients that speak it, whose thoughts survive only so, and for
    models that are served in no other form. Raises: InvalidRequest.
    """
    if request.kind == "chat" and provider.dialect == "chat_completions":
        quirks = quirks_for(provider)
        if quirks.messages_only and _is_among(quirks.messages_only, endpoint):
            return _DIALECTS["chat"]["messages"]
        patterns = (quirks.responses_only, quirks.responses if request.native_dialect == "responses" else "")
        if any(pattern and _is_among(pattern, endpoint) for pattern in patterns):
            return _DIALECTS["chat"]["responses"]
    if request.kind == "chat" and provider.dialect == "vertex":
        return next(dialect for start, dialect in _VERTEX.items() if endpoint.provider_model_id.startswith(start))
    return dialect_for(provider.dialect, request.kind, simulated=simulated)


def fit_tools(request: ChatRequest, endpoint: EndpointSpec, provider: ProviderSpec) -> tuple[ChatRequest, tuple[str, ...]]:
    """Return the request as ``endpoint`` can take its tools, and the names of what that leaves out."""
    if not request.has_custom:
        return request, ()
    pattern = quirks_for(provider).custom_tools
    return (request, ()) if pattern and _is_among(pattern, endpoint) else as_functions(request)


def _is_among(pattern: str, endpoint: EndpointSpec) -> bool:
    """Whether the provider's name of the model matches, or ours: deployments have names of the operator's choice."""
    return _matches(pattern, endpoint.provider_model_id) or _matches(pattern, endpoint.model.rpartition("/")[2])


@lru_cache(maxsize=4096)
def _matches(pattern: str, model: str) -> bool:
    return re.match(pattern, model) is not None
