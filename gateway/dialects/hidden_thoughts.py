"""Thoughts kept from a client that asked not to see them (``reasoning.exclude``, ``include_reasoning: false``). Pure.

They are taken out of the canonical form, before a client dialect writes it; counting and charging come earlier and see them.
"""

from typing import Any

from gateway.dialects.base import ChatRequest, Json
from gateway.dialects.client import ChoiceFilter, StreamEncoder
from gateway.dialects.reasoning import resolve_thinking
from gateway.dialects.signed_thoughts import REASONING_FORMAT

_READABLE = ("reasoning.text", "reasoning.summary")
_THOUGHT_PARTS = ("thinking", "reasoning")


def hide_thoughts(body: Json, request: ChatRequest, *, keeps_seals: bool = False) -> None:
    """Take thoughts out of a whole canonical answer, in place, if ``request`` asked for that.

    ``keeps_seals`` leaves what the provider wants back in the next turn and nobody can read: signatures and encrypted thoughts.
    """
    if resolve_thinking(request.body).hidden:
        for choice in body["choices"]:
            choice["message"] = _without_thoughts(choice["message"], keeps_seals=keeps_seals)


def hiding(encoder: StreamEncoder, request: ChatRequest, *, keeps_seals: bool = False) -> StreamEncoder:
    """Return ``encoder`` as it is, or behind one that hides thoughts if ``request`` asked for that."""
    return HidingEncoder(encoder, keeps_seals=keeps_seals) if resolve_thinking(request.body).hidden else encoder


class HidingEncoder(ChoiceFilter):
    """Takes thoughts out of chunks before another encoder writes them; chunks that have nothing else are left out."""

    __slots__ = ("_keeps_seals", "_named")

    def __init__(self, encoder: StreamEncoder, *, keeps_seals: bool) -> None:
        super().__init__(encoder)
        self._keeps_seals = keeps_seals
        self._named: set[int] = set()  # choices whose role was told

    def _shown(self, choice: Json) -> Json | None:
        """Return what of ``choice`` may be seen, None if that is nothing."""
        delta, index = choice["delta"], choice["index"]
        kept = _without_thoughts(delta, keeps_seals=self._keeps_seals)
        if kept is not delta and not any(value for name, value in kept.items() if name != "role"):
            is_news = bool(kept.get("role")) and index not in self._named
            if not is_news and not choice.get("finish_reason"):
                return None
            # Probabilities that came with thoughts spell the thoughts.
            choice = {**choice, "logprobs": None} if choice.get("logprobs") else choice
        if kept.get("role"):
            self._named.add(index)
        return choice if kept is delta else {**choice, "delta": kept}


def _without_thoughts(said: Json, *, keeps_seals: bool) -> Json:
    """Return a message or delta without thoughts; the same object if it has none."""
    content = said.get("content")
    is_mixed = isinstance(content, list) and any(_is_thought(part) for part in content)
    if not is_mixed and "reasoning" not in said and "reasoning_details" not in said:
        return said
    kept = {name: value for name, value in said.items() if name not in ("reasoning", "reasoning_details")}
    if is_mixed:
        kept["content"] = [part for part in said["content"] if not _is_thought(part)]
    if keeps_seals and (seals := [_seal(detail) for detail in said.get("reasoning_details") or () if _is_sealed(detail)]):
        kept["reasoning_details"] = seals
    return kept


def _is_thought(part: Any) -> bool:
    return isinstance(part, dict) and part.get("type") in _THOUGHT_PARTS


def _is_sealed(detail: Json) -> bool:
    return detail.get("type") not in _READABLE or bool(detail.get("signature") and detail.get("format") in (REASONING_FORMAT, None))


def _seal(detail: Json) -> Json:
    return {name: value for name, value in detail.items() if name not in ("text", "summary")}
