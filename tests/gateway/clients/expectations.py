"""What every official client must get, by feature. A client's run is a dictionary; `left out` is what its format does not have."""

from collections.abc import Callable
from typing import Any, Final

Said = dict[str, Any]
# Anthropic has no embeddings.
_WITHOUT_VECTORS = ("anthropic",)
_ERRORS = {
    "openai": "RateLimitError",
    "anthropic": "RateLimitError",
    "openrouter": "TooManyRequestsResponseError",
    "openrouter-august": "TooManyRequestsResponseError",
    "vercel-openrouter": "APICallError",
    "vercel-openai": "APICallError",
    "vercel-responses": "APICallError",
}


def _chat(_: str, said: Said) -> None:
    assert said["whole"].startswith("This is a simulated answer")
    assert said.get("responses", said["whole"]) == said["whole"]


def _stream(_: str, said: Said) -> None:
    assert said["streamed"] == said["whole"]


def _tools(_: str, said: Said) -> None:
    assert said["calls"] == [{"at": "simulated"}] * 2


def _streamed_tools(_: str, said: Said) -> None:
    assert said["streamedCalls"] == [{"at": "simulated"}] * 2


def _structured(_: str, said: Said) -> None:
    assert said["structured"] == {"at": "simulated"}


def _vision(_: str, said: Said) -> None:
    assert said["pictureTokens"] > 50


def _reasoning(_: str, said: Said) -> None:
    assert said["thoughts"].startswith("The prompt has about")


def _embeddings(name: str, said: Said) -> None:
    if name in _WITHOUT_VECTORS:
        assert "vectors" not in said
        return
    first, second = said["vectors"]
    assert first == second > 0


def _errors(name: str, said: Said) -> None:
    assert said["error"] == [_ERRORS[name], 429]


def _cancellation(_: str, said: Said) -> None:
    # Within a second where the machine is quiet (test_anthropic_client.py); here several servers and a client share it.
    assert said["stoppedMs"] < 4000


FEATURES: Final[dict[str, Callable[[str, Said], None]]] = {
    "chat": _chat,
    "stream": _stream,
    "parallel tools": _tools,
    "streamed tools": _streamed_tools,
    "structured output": _structured,
    "vision": _vision,
    "reasoning": _reasoning,
    "embeddings": _embeddings,
    "errors": _errors,
    "cancellation": _cancellation,
}
