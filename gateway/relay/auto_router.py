"""Routers: names that stand for a choice among models. ``auto`` chooses by ability, price band and live quality, ``free`` among the free.

Pure: the catalog, the request and what is known of endpoints lately; no network and no model is asked. docs/routing.md has the scoring in
words; change both together.
"""

import bisect
import fnmatch
import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final
from weakref import WeakKeyDictionary

from catalog.types import ModelSpec
from gateway.dialects.base import ChatRequest, Json
from gateway.dialects.reasoning import resolve_thinking
from gateway.relay.catalog import Candidate, CatalogView
from gateway.relay.errors import BadRequest, NoEndpoint, availability
from gateway.relay.estimate import estimated_prompt_tokens
from gateway.relay.figures import NORMAL
from gateway.relay.health import EndpointHealth
from gateway.relay.preferences import Preferences
from gateway.relay.quality import POOR
from gateway.relay.routing import parameters_of, refusal_of

AUTO: Final = frozenset({"tollway/auto", "openrouter/auto"})
FREE: Final = frozenset({"tollway/free", "openrouter/free"})
ROUTERS: Final = AUTO | FREE

_PLUGIN: Final = "auto-router"
# Percentiles of price, half-open: a tier is a band and not a ceiling.
_TIERS: Final[dict[str, tuple[int, int]]] = {"low": (0, 20), "medium": (20, 40), "high": (40, 60), "xhigh": (60, 80), "max": (80, 101)}
# The older setting, 0 to 10: a ceiling, from the 90th percentile of price (0) down to the 10th (10).
_TRADEOFF_MAX: Final = 10
_TRADEOFF_CEILING, _TRADEOFF_STEP = 90, 8
_CHOSEN_MAX: Final = 3  # one, and two to fall back to
_PATTERN_MAX: Final = 1024
_READ_CHARS: Final = 4_000
_ANSWER_TOKENS: Final = 1_024  # expected where the request does not say
_WIDE_CONTEXT: Final = 200_000
_ENDPOINTS_ENOUGH: Final = 3

_CODE: Final = re.compile(
    r"```|\bdef \w+\(|\bfunction \w+\(|\bclass \w+|\bSELECT\b.+\bFROM\b|\b(code|bug|compile|refactor|regex|stack ?trace|unit tests?)\b",
    re.IGNORECASE,
)
_MATH: Final = re.compile(r"\\frac|\\int|\\sum|∫|√|\b(prove|theorem|integral|equation|derivative|probability)\b", re.IGNORECASE)
_STRUCTURED: Final = frozenset({"response_format", "structured_outputs"})
_THINKING_TASKS: Final = frozenset({"code", "math"})


@dataclass(frozen=True, slots=True)
class _Member:
    """A model that may be chosen. Percentiles 0 to 99 among the chat models that can be called here."""

    model: ModelSpec
    candidates: tuple[Candidate, ...]
    price_percentile: int
    age_percentile: int  # 99 is the newest
    is_free: bool


@dataclass(frozen=True, slots=True)
class RouterSettings:
    """What the ``auto-router`` plugin of a request says. Patterns are shell wildcards; exclusions apply after allowances.

    ``prices`` are the percentiles of price to choose from, half-open. ``pins_model`` keeps to the model that answered last.
    """

    allowed_models: tuple[str, ...] = ()
    excluded_models: tuple[str, ...] = ()
    prices: tuple[int, int] = _TIERS["low"]
    pins_model: bool = False


@dataclass(frozen=True, slots=True)
class Choice:
    """What a router chose: models in the order to try, and the kind of task that the request looks like."""

    models: tuple[str, ...]
    strategy: str  # auto, free
    task: str


# Of each catalog version in use, made when a request first names a router.
_members_by_view: WeakKeyDictionary[CatalogView, tuple[_Member, ...]] = WeakKeyDictionary()


def resolve_names(
    view: CatalogView,
    request: ChatRequest,
    names: tuple[str, ...],
    *,
    wish: Preferences,
    health: EndpointHealth,
    rng: random.Random,
    stay_with: str = "",
) -> tuple[str, ...]:
    """Return the names with each router's choice in its place. A conversation stays with the model ``stay_with`` while it is a choice.

    Raises: BadRequest, NoEndpoint.
    """
    concrete: list[str] = []
    for name in names:
        if name in ROUTERS:
            concrete += choose_models(view, request, name, wish=wish, health=health, rng=rng, stay_with=stay_with).models
        else:
            concrete.append(name)
    return tuple(dict.fromkeys(concrete))


def choose_models(
    view: CatalogView,
    request: ChatRequest,
    router: str,
    *,
    wish: Preferences,
    health: EndpointHealth,
    rng: random.Random,
    stay_with: str = "",
) -> Choice:
    """Return the models that the router chooses for the request. Raises: BadRequest for wrong settings, NoEndpoint when none fits."""
    if request.kind != "chat":
        raise BadRequest(f"{router} chooses among chat models; name a model here", metadata={"param": "model"})
    settings = read_settings(request.body.get("plugins"))
    task = task_of(request)
    needs = _needs_of(request)
    able = [one for one in _members(view) if _fits(one.model, needs) and _is_wanted(one.model.id, settings)]
    pinned = _pinned_model(view, request.body) if settings.pins_model else ""
    if router in FREE:
        able = [one for one in able if one.is_free]
        rng.shuffle(able)
    else:
        floor, ceiling = settings.prices
        # A pin goes before the band: the conversation has begun with that model.
        able = [one for one in able if one.model.id == pinned or (not one.is_free and floor <= one.price_percentile < ceiling)]
        able.sort(key=lambda one: (-score(one, task, health), one.price_percentile, one.model.id))
    stay_with = pinned or stay_with
    if stay_with:
        able.sort(key=lambda member: member.model.id != stay_with)
    chosen = tuple(member.model.id for member in _first_served(able, request, wish))
    if not chosen:
        raise NoEndpoint(
            "No models match your request and model restrictions",
            availability=availability("constraint_filtered", retryable=False, models=(router,), excluded_by=["router"]),
            remedy="Widen allowed_models, cost_tier or the provider preferences, or name a model.",
        )
    return Choice(chosen, "free" if router in FREE else "auto", task)


def score(member: _Member, task: str, health: EndpointHealth) -> int:
    """Return the points of a model for a task, of 1000: 400 for being new, 250 for suiting the task, 250 for endpoints that do well, 100
    for its context window.
    """
    model = member.model
    suits = (250 if model.reasoning else 75) if task in _THINKING_TASKS else (175 if model.reasoning else 250)
    up = sum(_does_well(one.endpoint.id, task, health) for one in member.candidates)
    answers = 250 * min(up, _ENDPOINTS_ENOUGH) // _ENDPOINTS_ENOUGH
    width = 100 * min(model.context_length, _WIDE_CONTEXT) // _WIDE_CONTEXT
    return 400 * member.age_percentile // 99 + suits + answers + width


def _does_well(endpoint_id: str, task: str, health: EndpointHealth) -> bool:
    """Whether the endpoint answers now, answered at least 95 % of the last five minutes, and calls tools well where that matters."""
    statistics = health.statistics
    if health.is_down(endpoint_id) or statistics.grade(endpoint_id) != NORMAL:
        return False
    return task != "tools" or statistics.quality(endpoint_id) != POOR


def task_of(request: ChatRequest) -> str:
    """Return what kind of task a request looks like: tools, vision, code, math or general."""
    if request.body.get("tools"):
        return "tools"
    if request.image_parts or request.video_parts:
        return "vision"
    text = _last_words(request.body)
    if _CODE.search(text):
        return "code"
    return "math" if _MATH.search(text) else "general"


def read_settings(plugins: Any) -> RouterSettings:
    """Read the plugin of a request's ``plugins``. Unknown keys are ignored. Raises: BadRequest naming the field."""
    for place, plugin in enumerate(plugins or ()):
        if isinstance(plugin, dict) and plugin.get("id") == _PLUGIN and plugin.get("enabled") is not False:
            name = f"plugins[{place}]"
            pins = plugin.get("pin_model")
            if pins is not None and not isinstance(pins, bool):
                raise _refuse(f"{name}.pin_model", "true or false")
            return RouterSettings(
                _patterns(plugin, name, "allowed_models"), _patterns(plugin, name, "excluded_models"), _prices(plugin, name), bool(pins)
            )
    return RouterSettings()


def _prices(plugin: Json, name: str) -> tuple[int, int]:
    """Return the percentiles that the settings allow: those of ``cost_tier``, else up to the ceiling of ``cost_quality_tradeoff``."""
    tier, tradeoff = plugin.get("cost_tier"), plugin.get("cost_quality_tradeoff")
    if tier is not None and (not isinstance(tier, str) or tier not in _TIERS):
        raise _refuse(f"{name}.cost_tier", f"one of {', '.join(_TIERS)}")
    if tradeoff is not None and (isinstance(tradeoff, bool) or not isinstance(tradeoff, int) or not 0 <= tradeoff <= _TRADEOFF_MAX):
        raise _refuse(f"{name}.cost_quality_tradeoff", f"a whole number from 0 to {_TRADEOFF_MAX}")
    if tier is not None or tradeoff is None:
        return _TIERS[tier or "low"]
    return 0, _TRADEOFF_CEILING - _TRADEOFF_STEP * tradeoff + 1


def _patterns(plugin: Json, name: str, field: str) -> tuple[str, ...]:
    value = plugin.get(field)
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(item, str) and len(item) <= _PATTERN_MAX for item in value):
        raise _refuse(f"{name}.{field}", f"a list of patterns of at most {_PATTERN_MAX} characters, such as anthropic/*")
    return tuple(value)


def _refuse(param: str, expected: str) -> BadRequest:
    return BadRequest(f"{param} must be {expected}", metadata={"param": param})


def _last_words(body: Json) -> str:
    for message in reversed(body.get("messages") or ()):
        if message.get("role") == "user":
            content = message.get("content")
            if isinstance(content, str):
                return content[:_READ_CHARS]
            texts = [part.get("text", "") for part in content or () if isinstance(part, dict)]
            return " ".join(texts)[:_READ_CHARS]
    return ""


def _pinned_model(view: CatalogView, body: Json) -> str:
    """Return the id of the model that the latest assistant message says it is from, or ''."""
    for message in reversed(body.get("messages") or ()):
        if message.get("role") == "assistant":
            name = message.get("model")
            found = view.find_model(name) if isinstance(name, str) else None
            return found[0].id if found is not None else ""
    return ""


def _is_wanted(model_id: str, settings: RouterSettings) -> bool:
    allowed = not settings.allowed_models or any(fnmatch.fnmatchcase(model_id, one) for one in settings.allowed_models)
    return allowed and not any(fnmatch.fnmatchcase(model_id, one) for one in settings.excluded_models)


@dataclass(frozen=True, slots=True)
class _Needs:
    """What a request asks of a model, worked out once for all models."""

    modalities: tuple[str, ...]
    has_tools: bool
    is_structured: bool
    thinks: bool
    max_tokens: int
    window_tokens: int


def _needs_of(request: ChatRequest) -> _Needs:
    body = request.body
    media = {"image": request.image_parts, "audio": request.audio_parts, "video": request.video_parts, "file": request.file_parts}
    form = body.get("response_format")
    return _Needs(
        modalities=tuple(kind for kind, count in media.items() if count),
        has_tools=bool(body.get("tools")),
        is_structured=form is not None and form.get("type") not in (None, "text"),
        thinks=bool(resolve_thinking(body).asked),
        max_tokens=request.max_tokens or 0,
        window_tokens=estimated_prompt_tokens(request) + (request.max_tokens or _ANSWER_TOKENS),
    )


def _fits(model: ModelSpec, needs: _Needs) -> bool:
    """Whether the model can take the request at all, and has the abilities that it uses."""
    if (model.context_length and needs.window_tokens > model.context_length) or (needs.thinks and not model.reasoning):
        return False
    if needs.max_tokens and model.max_output_tokens and needs.max_tokens > model.max_output_tokens:
        return False
    if "text" not in model.output_modalities or any(kind not in model.input_modalities for kind in needs.modalities):
        return False
    if needs.has_tools and "tools" not in model.supported_parameters:
        return False
    return not needs.is_structured or not _STRUCTURED.isdisjoint(model.supported_parameters)


def _first_served(members: Sequence[_Member], request: ChatRequest, wish: Preferences) -> Iterator[_Member]:
    """Yield the first models that the provider preferences leave an endpoint of."""
    parameters, count = parameters_of(request.body), 0
    for member in members:
        if any(not refusal_of(one, wish, parameters, request.max_tokens) for one in member.candidates):
            yield member
            count += 1
            if count == _CHOSEN_MAX:
                return


def _members(view: CatalogView) -> tuple[_Member, ...]:
    members = _members_by_view.get(view)
    if members is None:
        members = _members_by_view[view] = _make_members(view)
    return members


def _make_members(view: CatalogView) -> tuple[_Member, ...]:
    found = [
        (model, view.candidates[model.id])
        for model in view.snapshot.models.values()
        if model.type == "chat" and view.candidates[model.id] and not model.expiration_date
    ]
    paid = sorted(candidates[0].blended_picos for _, candidates in found if candidates[0].blended_picos)
    ages = sorted(model.created_s for model, _ in found)
    return tuple(
        _Member(
            model=model,
            candidates=candidates,
            price_percentile=_percentile(paid, candidates[0].blended_picos),
            age_percentile=_percentile(ages, model.created_s),
            is_free=candidates[0].blended_picos == 0,
        )
        for model, candidates in found
    )


def _percentile(values: list[int], value: int) -> int:
    """Return the share of sorted values below this one, 0 to 99 percent."""
    return 99 * bisect.bisect_left(values, value) // max(len(values) - 1, 1) if values else 0
