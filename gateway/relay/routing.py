"""Which endpoints may serve a request, in which order, and why the others may not. Pure: no clock, no network.

Default order: endpoints without an outage in the last 30 seconds first; among them one is drawn with weight 1 / price², the rest follow by
price; those with an outage come last. ``provider.order`` and ``provider.sort`` switch the draw off. ranking.py has the order, this file
what may serve at all.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from catalog.types import ModelType
from gateway.dialects.base import ChatRequest
from gateway.relay.catalog import Candidate, CatalogView
from gateway.relay.errors import BadRequest, NoEndpoint, availability
from gateway.relay.health import EndpointHealth
from gateway.relay.preferences import NO_PREFERENCES, Preferences, check_slugs, read_preferences
from gateway.relay.ranking import order_candidates, put_misses_last, sort_across
from gateway.relay.web_search import can_search

__all__ = [
    "SOFT_PARAMETERS",
    "Route",
    "find_route",
    "is_named",
    "names_of",
    "order_endpoints",
    "parameters_of",
    "read_preferences",
    "refusal_of",
    "with_suffix",
]

_SUFFIX_SORTS = {"floor": "price", "nitro": "throughput", "exacto": "exacto"}
SOFT_PARAMETERS = ("tools", "response_format", "verbosity")
# Fields of a request that are ours or that every endpoint takes; all others must be among an endpoint's supported_parameters.
_NOT_PARAMETERS = frozenset(
    {
        *("messages", "prompt", "model", "models", "provider", "route", "stream", "stream_options", "n", "user", "metadata", "session_id"),
        *("trace", "debug", "usage", "plugins", "transforms", "preset", "service_tier", "cache_control", "prompt_cache_key"),
        *("prompt_cache_options", "modalities", "max_tokens", "max_completion_tokens", "stop", "image_config", "input", "encoding_format"),
        *("input_type",),
    },
)
_NO_PARAMETERS: frozenset[str] = frozenset()
# How many endpoints are tried before those of last resort: of the attempts that a request has, one is theirs.
_BEFORE_LAST_RESORT = 3
_PARAMETER_NAMES = {"reasoning_effort": "reasoning", "functions": "tools", "function_call": "tool_choice"}


@dataclass(slots=True)
class Route:
    """Candidates in the order to try, and what ruled the others out (rule → how many). ``is_hedged``: the second may start early."""

    candidates: list[Candidate]
    excluded_by: dict[str, int] = field(default_factory=dict)
    is_hedged: bool = False


def is_named(slugs: Sequence[str], candidate: Candidate) -> bool:
    """Whether the slugs name the endpoint: a base slug matches every variant and region of a provider, a full slug one endpoint."""
    return candidate.endpoint.provider in slugs or candidate.endpoint.tag in slugs


def refusal_of(  # noqa: C901, PLR0911 -- a list of rules, read from top to bottom
    candidate: Candidate, wish: Preferences, parameters: frozenset[str], max_tokens: int | None
) -> str:
    """Return the rule that keeps the endpoint from serving the request, or ''."""
    endpoint = candidate.endpoint
    if wish.only and not is_named(wish.only, candidate):
        return "allowed_providers"
    if wish.ignore and is_named(wish.ignore, candidate):
        return "ignored_providers"
    if wish.order and not wish.allow_fallbacks and not is_named(wish.order, candidate):
        return "allowed_providers"
    if max_tokens is not None and endpoint.max_output_tokens and max_tokens > endpoint.max_output_tokens:
        return "max_tokens"
    if wish.quantizations and (endpoint.quantization or "unknown") not in wish.quantizations:
        return "quantization"
    if wish.require_parameters and not parameters <= endpoint.supported_parameters:
        return "require_parameters"
    policy = candidate.host.spec.data_policy
    if wish.deny_data_collection and policy.get("trains_on_prompts") is not False:
        return "data_policy:training"
    if wish.zdr and policy.get("zdr") is not True:
        return "data_policy:zdr"
    if wish.distillable_only:  # the catalog knows of no author's permission, and unknown is no
        return "distillable_text"
    if wish.searches_web and not can_search(endpoint):
        return "web_search"
    for meter, limit_picos in wish.max_rates:
        if endpoint.price.rates.get(meter, 0) > limit_picos:
            return "max_price"
    return ""


def parameters_of(body: dict[str, Any]) -> frozenset[str]:
    """Return the request's fields that an endpoint has to support, under the catalog's names."""
    if body.keys() <= _NOT_PARAMETERS:
        return _NO_PARAMETERS
    return frozenset(_PARAMETER_NAMES.get(name, name) for name, value in body.items() if value is not None and name not in _NOT_PARAMETERS)


def _allowed(candidates: Sequence[Candidate], wish: Preferences, parameters: frozenset[str], max_tokens: int | None) -> Route:
    """Return the candidates that no rule keeps from serving the request, in their order, and what ruled the others out."""
    if wish is NO_PREFERENCES:  # then there is one rule that they could break
        if max_tokens is None:
            return Route(list(candidates))
        allowed = [one for one in candidates if not 0 < one.endpoint.max_output_tokens < max_tokens]
        return Route(allowed, {"max_tokens": len(candidates) - len(allowed)} if len(allowed) < len(candidates) else {})
    route = Route([])
    for candidate in candidates:
        rule = refusal_of(candidate, wish, parameters, max_tokens)
        if rule:
            route.excluded_by[rule] = route.excluded_by.get(rule, 0) + 1
        else:
            route.candidates.append(candidate)
    return route


def order_endpoints(
    candidates: Sequence[Candidate],
    *,
    wish: Preferences,
    parameters: frozenset[str],
    max_tokens: int | None,
    health: EndpointHealth,
    rng: random.Random,
) -> Route:
    """Return the endpoints of one model in the order to try. An empty list comes with the rules that emptied it."""
    route = _allowed(candidates, wish, parameters, max_tokens)
    allowed = route.candidates
    for name in SOFT_PARAMETERS if parameters else ():
        if name in parameters:
            able = [candidate for candidate in allowed if name in candidate.endpoint.supported_parameters]
            allowed = able or allowed
    # Sorted so that they come last (CatalogView); most models have none.
    spare = [one for one in allowed if one.host.spec.is_last_resort] if allowed and allowed[-1].host.spec.is_last_resort else []
    if spare and not wish.order:
        allowed = allowed[: -len(spare)]
    if len(allowed) > 1:
        allowed = order_candidates(allowed, wish, parameters, health, rng)
    if spare and not wish.order:
        allowed[_BEFORE_LAST_RESORT:_BEFORE_LAST_RESORT] = spare
    route.candidates = allowed if wish.allow_fallbacks or wish.order else allowed[:1]
    return route


def with_suffix(wish: Preferences, suffix: str) -> Preferences:
    """``:floor`` sorts by price, ``:nitro`` by throughput, ``:exacto`` by quality; an explicit order stays."""
    sort = _SUFFIX_SORTS.get(suffix)
    return replace(wish, sort=sort, expected=None) if sort and not wish.order else wish


def names_of(request: ChatRequest) -> tuple[str, ...]:
    """Return the models that the request names, in order and each once. Raises: BadRequest without any."""
    if request.model is not None and not request.models:
        return (request.model,)
    names = request.models if request.model is None else (request.model, *request.models)
    if not names:
        raise BadRequest("model is required", metadata={"param": "model"}, remedy="GET /api/v1/models lists every model id.")
    return tuple(dict.fromkeys(names))


def find_route(
    view: CatalogView,
    *,
    names: tuple[str, ...],
    kind: ModelType,
    wish: Preferences,
    body: dict[str, Any],
    max_tokens: int | None,
    health: EndpointHealth,
    rng: random.Random,
) -> Route:
    """Return the endpoints of all named models, each model's in its order, models in theirs; or, if so wished, in one order.

    Raises: BadRequest for a model or a provider that does not exist, NoEndpoint when nothing may serve the request (with the rules and a
    remedy).
    """
    if wish is not NO_PREFERENCES:
        check_slugs(wish, view)
    parameters = parameters_of(body)
    if len(names) == 1 and (found := view.find_model(names[0])) is not None and (own := view.candidates_of(found[0], kind)) is not None:
        route = order_endpoints(
            own,
            wish=with_suffix(wish, found[1]),
            parameters=parameters,
            max_tokens=max_tokens,
            health=health,
            rng=rng,
        )
        if route.candidates:
            return route
    total = Route([])
    unknown: list[str] = []
    for name in names:
        found = view.find_model(name)
        if found is None:
            unknown.append(name)
            continue
        model, suffix = found
        own = view.candidates_of(model, kind)
        if own is None:
            raise BadRequest(
                f"{name} is a model of type {model.type}; this path needs one of type {kind}",
                availability=availability("wrong_endpoint", retryable=False, models=names),
                metadata={"param": "model"},
                remedy=f"Choose a model of type {kind}; GET /api/v1/models lists them.",
            )
        one = order_endpoints(
            own,
            wish=with_suffix(wish, suffix),
            parameters=parameters,
            max_tokens=max_tokens,
            health=health,
            rng=rng,
        )
        total.candidates.extend(one.candidates)
        for rule, count in one.excluded_by.items():
            total.excluded_by[rule] = total.excluded_by.get(rule, 0) + count
    if not total.candidates:
        _raise_empty(names, unknown, total.excluded_by)
    if not wish.order:
        total.candidates = _order_all(total.candidates, wish, health)
    return total


def _order_all(candidates: list[Candidate], wish: Preferences, health: EndpointHealth) -> list[Candidate]:
    """Return the endpoints of several models, each model's in its order, in the order to try."""
    if wish.across_models:
        together = sort_across(candidates, wish, health)
        return together if wish.allow_fallbacks else together[:1]
    if wish.max_latencies_ms or wish.min_throughputs_tps:
        return put_misses_last(candidates, wish, health)
    return candidates


_NO_SEARCH = (
    "Leave out :online or the plugin web, or name a model whose provider searches the web by itself at a known price: Claude at Anthropic,"
    " Sonar at Perplexity."
)


def _raise_empty(names: tuple[str, ...], unknown: list[str], excluded_by: dict[str, int]) -> None:
    if unknown and len(unknown) == len(names):
        raise BadRequest(
            f"{unknown[0]} is not a valid model ID",
            error_type="not_found",
            availability=availability("model_not_found", retryable=False, models=names),
            metadata={"param": "model"},
            remedy="GET /api/v1/models lists every model id.",
        )
    if excluded_by:
        rules = ", ".join(sorted(excluded_by))
        raise NoEndpoint(
            f"No allowed providers are available for {names[0]}: every endpoint is excluded by {rules}.",
            availability=availability("constraint_filtered", retryable=False, models=names, excluded_by=sorted(excluded_by)),
            remedy=_NO_SEARCH if "web_search" in excluded_by else "Relax the provider preferences or the parameters named in excluded_by.",
        )
    raise NoEndpoint(
        f"No endpoints found for {names[0]}.",
        availability=availability("no_endpoints", retryable=False, models=names),
        remedy="Choose another model, or ask the operator to add a provider for this one.",
    )
