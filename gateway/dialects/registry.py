"""Which dialect a provider's row means, by the type of model that is asked. A dialect has no state, so one object serves all."""

from catalog.types import ModelType
from gateway.dialects.base import InvalidRequest, UpstreamDialect
from gateway.dialects.chat_completions import ChatCompletionsDialect
from gateway.dialects.embeddings import GeminiEmbeddings, OpenAiEmbeddings
from gateway.dialects.gemini import GeminiDialect
from gateway.dialects.messages import MessagesDialect
from gateway.dialects.rerank import CohereRerank, JinaRerank, VoyageRerank

_DIALECTS: dict[ModelType, dict[str, UpstreamDialect]] = {
    "chat": {
        "chat_completions": ChatCompletionsDialect(),
        "messages": MessagesDialect(),
        "gemini": GeminiDialect(),
    },
    "embedding": {
        "chat_completions": OpenAiEmbeddings(),
        "gemini": GeminiEmbeddings(),
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
