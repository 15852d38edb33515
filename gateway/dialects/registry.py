"""Which dialect a provider's row means. A dialect has no state, so one object serves all."""

from gateway.dialects.base import UpstreamDialect
from gateway.dialects.chat_completions import ChatCompletionsDialect
from gateway.dialects.gemini import GeminiDialect
from gateway.dialects.messages import MessagesDialect

_DIALECTS: dict[str, UpstreamDialect] = {
    "chat_completions": ChatCompletionsDialect(),
    "messages": MessagesDialect(),
    "gemini": GeminiDialect(),
}


def dialect_for(name: str) -> UpstreamDialect:
    """Return the dialect by the name in ``ProviderSpec.dialect``. Raises: KeyError."""
    return _DIALECTS[name]
