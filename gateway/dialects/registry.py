"""Which dialect a provider's row means. A dialect has no state, so one object serves all."""

from catalog.types import ModelType
from gateway.dialects.base import InvalidRequest, UpstreamDialect
from gateway.dialects.chat_completions import ChatCompletionsDialect
from gateway.dialects.embeddings import GeminiEmbeddings, OpenAiEmbeddings
from gateway.dialects.gemini import GeminiDialect
from gateway.dialects.messages import MessagesDialect

_EMBEDDINGS: dict[str, UpstreamDialect] = {
    "chat_completions": OpenAiEmbeddings(),
    "gemini": GeminiEmbeddings(),
}
_DIALECTS: dict[str, UpstreamDialect] = {
    "chat_completions": ChatCompletionsDialect(),
    "messages": MessagesDialect(),
    "gemini": GeminiDialect(),
}


def dialect_for(name: str, kind: ModelType = "chat") -> UpstreamDialect:
    """Return the dialect by the name in ``ProviderSpec.dialect``, for a type of model. Raises: InvalidRequest where there is none."""
    found = (_DIALECTS if kind == "chat" else _EMBEDDINGS).get(name)
    if found is None:
        raise InvalidRequest(f"This model's provider cannot answer for models of type {kind}.", "model")
    return found
