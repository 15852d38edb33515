"""How hard a model should think: the ``reasoning`` object and its short forms, resolved once. Pure."""

from typing import NamedTuple

from gateway.dialects.base import Json

EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
# Share of max_tokens that an effort may spend on thinking.
EFFORT_PERCENT = {"minimal": 10, "low": 20, "medium": 50, "high": 80, "xhigh": 95, "max": 95}
FIELDS = ("reasoning", "reasoning_effort", "include_reasoning")


class Thinking(NamedTuple):
    """``asked`` is None when the client left it to the model. ``effort`` is one of EFFORTS or ''; ``budget_tokens`` 0 if not given.

    ``hidden`` keeps thoughts from the client; they are billed all the same.
    """

    asked: bool | None
    effort: str
    budget_tokens: int
    hidden: bool


_FIELDS = frozenset(FIELDS)
_SILENT = Thinking(None, "", 0, hidden=False)


def resolve_thinking(body: Json) -> Thinking:
    """Read reasoning, reasoning_effort and include_reasoning of a checked body."""
    if _FIELDS.isdisjoint(body):  # as in most
        return _SILENT
    options = body.get("reasoning")
    short = body.get("reasoning_effort")
    include = body.get("include_reasoning")
    if options is None and short is None and include is None:
        return _SILENT
    options = options or {}
    effort = options.get("effort") or short or ""
    budget = options.get("max_tokens") or 0
    hidden = bool(options.get("exclude")) or include is False
    enabled = options.get("enabled")
    if enabled is False or effort == "none":
        return Thinking(asked=False, effort="none", budget_tokens=0, hidden=hidden)
    asked = True if enabled or effort or budget or include else None
    return Thinking(asked=asked, effort=effort, budget_tokens=budget, hidden=hidden)


def nearest_effort(effort: str, known: tuple[str, ...]) -> str:
    """Return the member of ``known`` closest to ``effort`` on the scale; thinking is never switched off by rounding."""
    if effort in known:
        return effort
    place = EFFORTS.index(effort)
    usable = [word for word in known if word != "none"]
    return min(usable, key=lambda word: abs(EFFORTS.index(word) - place)) if usable else ""


def budget_from_effort(effort: str, max_tokens: int) -> int:
    """Return the thinking tokens that ``effort`` allows out of ``max_tokens``."""
    return max_tokens * EFFORT_PERCENT[effort or "medium"] // 100
