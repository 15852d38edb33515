"""How an attempt ended, in one word for the statistics, and the tool calls that an answer made. Pure.

OpenRouter's rule of what counts against an endpoint: 401, 402, 404, every 5xx, a stream that breaks off, an answer that ends in an error.
400, 403, 413 and 422 are the caller's, 429 is counted apart.
"""

from collections.abc import Iterable
from typing import Any, Final

from gateway.dialects.base import Json, UpstreamFault
from gateway.relay.tallies import LIMITED

_BY_ERROR: Final = {
    "rate_limit_exceeded": LIMITED,
    "context_length_exceeded": "context_length",
    "content_policy_violation": "content_policy",
    "authentication": "credential",
    "payment_required": "credential",
}
_BY_STATUS: Final = {401: "credential", 402: "credential", 403: "refused", 404: "not_found", 408: "timeout", 429: LIMITED}
_SERVER_ERROR: Final = 500


def name_outcome(fault: UpstreamFault) -> str:
    """Return the class of a failure: one of tallies.FAULTS when it counts against the endpoint, another word when it does not."""
    named = _BY_ERROR.get(fault.error_type)
    if named is not None:
        return named
    status = fault.upstream_status
    if not status:  # nothing came back: connect, timeout, network
        return fault.code if fault.code in {"connect", "timeout"} else "network"
    named = _BY_STATUS.get(status)
    if named is not None:
        return named
    if status >= _SERVER_ERROR:
        return "server"
    return "request" if status >= 400 else "malformed"  # noqa: PLR2004 -- HTTP


def calls_of(answer: Json) -> list[tuple[str, str]]:
    """Return name and arguments of every tool call in a whole chat.completion."""
    return [_call(call) for choice in answer.get("choices", ()) for call in (choice.get("message") or {}).get("tool_calls") or ()]


def _call(call: Any) -> tuple[str, str]:
    """Return name and arguments; what is no text is none, so that a provider's nonsense is a fault of its own and not of ours."""
    function = call.get("function") or call.get("custom") if isinstance(call, dict) else None
    if not isinstance(function, dict):
        return "", ""
    name, arguments = function.get("name"), function.get("arguments", function.get("input"))
    return name if isinstance(name, str) else "", arguments if isinstance(arguments, str) else ""


class StreamedCalls:
    """Puts together the tool calls of a stream from its canonical chunks."""

    __slots__ = ("_calls",)

    def __init__(self) -> None:
        self._calls: dict[tuple[int, int], list[str]] = {}

    def feed(self, chunks: Iterable[Json]) -> None:
        """Take chunks in order."""
        for chunk in chunks:
            for choice in chunk.get("choices", ()):
                for delta in (choice.get("delta") or {}).get("tool_calls") or ():
                    self._take(choice.get("index", 0), delta)

    def _take(self, choice: int, delta: dict[str, Any]) -> None:
        parts = self._calls.setdefault((choice, delta.get("index", 0)), ["", ""])
        name, arguments = _call(delta)
        parts[0] = parts[0] or name
        parts[1] += arguments

    @property
    def calls(self) -> list[tuple[str, str]]:
        """Name and arguments of every call so far."""
        return [(name, arguments) for name, arguments in self._calls.values()]
