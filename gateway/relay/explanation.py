"""A dry run of routing: the endpoints in the order to try and why, those that may not serve and the rule that says so, and what would be
held. Pure: it asks the same functions that serve requests, so it cannot say anything else than they do.
"""

import random

import msgspec

from billing.authorizer.holds import AMOUNT_MAX_NANOS, InsufficientCredit
from billing.authorizer.standing import Standing
from catalog.types import ModelSpec
from gateway.dialects.base import ChatRequest, Json
from gateway.relay.catalog import Candidate, CatalogView
from gateway.relay.errors import ApiError, NoEndpoint
from gateway.relay.estimate import estimated_prompt_tokens, plan_hold
from gateway.relay.explanation_shapes import (
    Explanation,
    Limit,
    NamedModel,
    PlannedHedge,
    PlannedHold,
    RankedEndpoint,
    RejectedEndpoint,
    amount,
)
from gateway.relay.health import EndpointHealth
from gateway.relay.hedging import can_hedge, hedge_after_s, second_of
from gateway.relay.hold import disabled_key, endless_answer, holds_to_try, refused_hold
from gateway.relay.planning import plan_names, plan_route, read_wish
from gateway.relay.preferences import Preferences
from gateway.relay.ranking import DOWN, heeds_quality, rank_of, say_why_behind
from gateway.relay.routing import SOFT_PARAMETERS, Route, is_named, names_of, parameters_of, refusal_of, with_suffix
from gateway.relay.types import HoldPlan, Home

_PERMILLE = 1000


class Terms(msgspec.Struct, frozen=True):
    """What the service allows a request: how many endpoints are tried, and what a stream without max_tokens holds at first."""

    attempts_max: int
    hold_output_tokens: int
    public_url: str


def explain(
    view: CatalogView,
    request: ChatRequest,
    *,
    api: str,
    health: EndpointHealth,
    standing: Standing | None,
    terms: Terms,
    rng: random.Random,
    home: Home | None = None,
) -> Explanation:
    """Return what would happen to the request. Without a ``standing`` no limits are shown, and the hold is the one asked for first.

    Raises: BadRequest for what would be refused as malformed.
    """
    names, wish = names_of(request), read_wish(request)
    error: ApiError | None = None
    at_home: Candidate | None = None
    try:
        names = plan_names(view, request, wish, home=home, health=health, rng=rng)
        route, at_home = plan_route(view, request, wish, names, home=home, health=health, rng=rng)
    except NoEndpoint as empty:
        route, error = Route([]), empty
    found = [(name, view.find_model(name)) for name in names]
    suffixes = {model_and_suffix[0].id: model_and_suffix[1] for _, model_and_suffix in found if model_and_suffix is not None}
    holding = _planned_hold(request, route.candidates, standing, terms)
    ranked = _Ranking(route.candidates, request, wish, suffixes, health).rows(terms, at_home)
    rejected = [
        row for _, one in found if one is not None for row in _rejected(view, one[0], route.candidates, request, with_suffix(wish, one[1]))
    ]
    return Explanation(
        api=api,
        catalog_version=view.version,
        models=[NamedModel(name, one[0].id, one[1]) for name, one in found if one is not None],
        prompt_tokens_estimate=estimated_prompt_tokens(request),
        endpoints=ranked,
        rejected=rejected,
        hold=holding,
        hedge=_planned_hedge(request, route, health, terms),
        limits=_limits(standing, holding),
        error=_told(error or _money_error(standing, holding, terms)),
    )


def _told(error: ApiError | None) -> Json | None:
    return None if error is None else error.to_dict()


def _money_error(standing: Standing | None, hold: PlannedHold | None, terms: Terms) -> ApiError | None:
    if standing is None or hold is None:
        return None
    if standing.key_is_disabled:
        return disabled_key()
    need_nanos = int(hold.amount.nanos)
    if need_nanos > AMOUNT_MAX_NANOS:
        return endless_answer()
    scope = standing.refuses(need_nanos)
    if not scope:
        return None
    left = standing.available_nanos if scope == "balance" else standing.key_free_nanos or 0
    return refused_hold(
        InsufficientCredit(scope="balance" if scope == "balance" else "key", available_nanos=max(left, 0)),
        need_nanos=need_nanos,
        public_url=terms.public_url,
    )


class _Ranking:
    """Says of each candidate why it stands where it does."""

    def __init__(
        self, candidates: list[Candidate], request: ChatRequest, wish: Preferences, suffixes: dict[str, str], health: EndpointHealth
    ) -> None:
        self._candidates = candidates
        self._request = request
        self._wishes = {model: with_suffix(wish, suffix) for model, suffix in suffixes.items()}
        parameters = parameters_of(request.body)
        self._ranks: dict[str, int] = {}
        # Weights of the draw, per model: only endpoints that nothing puts behind the others take part.
        self._weights: dict[str, float] = {}
        best: dict[str, int] = {}
        for one in candidates:
            model, wanted = one.endpoint.model, self._wishes[one.endpoint.model]
            rank = rank_of(one, wanted, health, with_quality=heeds_quality(wanted, parameters))
            self._ranks[one.endpoint.id] = rank
            best[model] = min(rank, best.get(model, rank))
        for one in candidates:
            model = one.endpoint.model
            if self._ranks[one.endpoint.id] == best[model] < DOWN:
                self._weights[model] = self._weights.get(model, 0.0) + _weight(one)
        self._best = best

    def rows(self, terms: Terms, at_home: Candidate | None) -> list[RankedEndpoint]:
        """Return the candidates as the wire has them."""
        rows: list[RankedEndpoint] = []
        # Where a conversation has its home, nothing is drawn.
        first_of_model = set() if at_home is None else {at_home.endpoint.model}
        for place, one in enumerate(self._candidates):
            endpoint = one.endpoint
            reason, detail, permille = self._reason(one, is_first=endpoint.model not in first_of_model)
            if at_home is not None and endpoint.model == at_home.endpoint.model:
                permille = None
                reason, detail = _AT_HOME if one is at_home else (reason, detail)
            first_of_model.add(endpoint.model)
            plan = plan_hold(self._request, endpoint, default_output_tokens=terms.hold_output_tokens)
            rows.append(
                RankedEndpoint(
                    rank=place + 1,
                    endpoint_id=endpoint.id,
                    model=endpoint.model,
                    provider=endpoint.provider,
                    provider_name=one.host.spec.name,
                    tag=endpoint.tag,
                    reason=reason,
                    detail=detail,
                    first_permille=permille,
                    is_tried=place < terms.attempts_max,
                    price_bound=amount(plan.amount_nanos),
                    simulated=one.host.simulated,
                )
            )
        return rows

    def _reason(self, one: Candidate, *, is_first: bool) -> tuple[str, str, int | None]:  # noqa: PLR0911 -- a list of rules
        wish, endpoint = self._wishes[one.endpoint.model], one.endpoint
        if wish.order:
            places = [place for place, slug in enumerate(wish.order) if slug in (endpoint.tag, endpoint.provider)]
            named = ("order", f"provider.order names it at place {places[0] + 1}") if places else _UNNAMED
            return *named, None
        rank = self._ranks[endpoint.id]
        if rank >= DOWN or rank > self._best[endpoint.model]:
            return *say_why_behind(rank), None
        if wish.sort:
            across = " among the endpoints of all models" if wish.across_models else ""
            return "sort", f"sorted by {wish.sort}{across}", None
        if is_first and one.host.spec.group:
            return "group", f"chosen from the group {one.host.spec.group} by its strategy, {one.host.spec.balancing}", None
        if endpoint.is_free or one.blended_picos == 0:
            return "free", "costs nothing", None
        permille = round(_PERMILLE * _weight(one) / self._weights[endpoint.model])
        if is_first:
            return "draw", "drawn first: stable endpoints are drawn with weight 1 / price²", permille
        return "price", "follows by price", permille


_AT_HOME = ("session", "answered this conversation last and has its prompt in the cache")
_UNNAMED = ("fallback", "not named in provider.order, so it follows those that are")


def _weight(one: Candidate) -> float:
    return 1.0 / (one.blended_picos * one.blended_picos) if one.blended_picos else 0.0


def _rejected(
    view: CatalogView, model: ModelSpec, allowed: list[Candidate], request: ChatRequest, wish: Preferences
) -> list[RejectedEndpoint]:
    serving = {one.endpoint.id for one in allowed}
    callable_here = {one.endpoint.id: one for one in view.candidates[model.id]}
    parameters = parameters_of(request.body)
    rows: list[RejectedEndpoint] = []
    for endpoint_id in model.endpoints:
        if endpoint_id in serving:
            continue
        endpoint = view.snapshot.endpoints[endpoint_id]
        one = callable_here.get(endpoint_id)
        if one is None:
            is_off = endpoint.provider not in view.hosts
            rule, detail = ("provider_off", "the provider is not connected here") if is_off else ("unpriced", "it has no price")
        else:
            rule = refusal_of(one, wish, parameters, request.max_tokens)
            rule, detail = (rule, _why(rule, one, wish, parameters)) if rule else _passed_over(one, wish, parameters)
        rows.append(
            RejectedEndpoint(
                endpoint_id=endpoint_id,
                model=model.id,
                provider=endpoint.provider,
                provider_name=view.snapshot.providers[endpoint.provider].name,
                tag=endpoint.tag,
                rule=rule,
                detail=detail,
            )
        )
    return rows


def _why(rule: str, one: Candidate, wish: Preferences, parameters: frozenset[str]) -> str:
    endpoint = one.endpoint
    if rule == "max_tokens":
        return f"answers with at most {endpoint.max_output_tokens:,} tokens, max_tokens asks for more"
    if rule == "quantization":
        return f"runs at {endpoint.quantization or 'unknown'}, provider.quantizations wants {', '.join(wish.quantizations)}"
    if rule == "require_parameters":
        return f"does not take {', '.join(sorted(parameters - endpoint.supported_parameters))}, and provider.require_parameters is true"
    if rule == "max_price":
        meters = [meter for meter, limit_picos in wish.max_rates if endpoint.price.rates.get(meter, 0) > limit_picos]
        return f"costs more than provider.max_price allows for {', '.join(meters)}"
    if rule == "allowed_providers":
        only = bool(wish.only) and not is_named(wish.only, one)
        return "provider.only does not name it" if only else "provider.order does not name it, and provider.allow_fallbacks is false"
    return _PLAIN_RULES.get(rule, rule)


_PLAIN_RULES = {
    "web_search": "its provider does not search the web by itself, or not at a price that is known",
    "ignored_providers": "provider.ignore names it",
    "data_policy:training": "may train on prompts, and provider.data_collection is 'deny'",
    "distillable_text": "no permission of its author to learn from its text is known, and provider.enforce_distillable_text is true",
    "data_policy:zdr": "does not promise zero data retention, and provider.zdr is true",
}


def _passed_over(one: Candidate, wish: Preferences, parameters: frozenset[str]) -> tuple[str, str]:
    """Return why an endpoint that no rule excludes is still not among those to try."""
    for name in SOFT_PARAMETERS:
        if name in parameters and name not in one.endpoint.supported_parameters:
            return f"parameter:{name}", f"does not take {name}, and others do"
    if not wish.allow_fallbacks:
        return "allow_fallbacks", "provider.allow_fallbacks is false, so only the first is tried"
    return "error", "the request is refused as a whole"


def _planned_hold(request: ChatRequest, candidates: list[Candidate], standing: Standing | None, terms: Terms) -> PlannedHold | None:
    if not candidates:
        return None
    smallest: tuple[Candidate, HoldPlan] | None = None
    for one, plan in holds_to_try(request, candidates, default_output_tokens=terms.hold_output_tokens):
        if smallest is None or plan.amount_nanos < smallest[1].amount_nanos:
            smallest = one, plan
        if standing is None or not standing.refuses(plan.amount_nanos):
            break
    assert smallest is not None  # noqa: S101 -- there are candidates
    one, plan = smallest
    return PlannedHold(
        endpoint_id=one.endpoint.id,
        amount=amount(plan.amount_nanos),
        prompt_tokens_max=plan.prompt_tokens,
        output_tokens_max=plan.output_tokens,
        output_tokens_cap=plan.cap_tokens,
    )


def _planned_hedge(request: ChatRequest, route: Route, health: EndpointHealth, terms: Terms) -> PlannedHedge | None:
    tried = route.candidates[: terms.attempts_max]
    if not (route.is_hedged and can_hedge(request) and tried):
        return None
    second = second_of(tried, health)
    if second is None:
        return None
    return PlannedHedge(endpoint_id=second.endpoint.id, after_ms=round(hedge_after_s(health, tried[0], streamed=request.stream) * 1000))


def _limits(standing: Standing | None, hold: PlannedHold | None) -> list[Limit]:
    if standing is None:
        return []
    need_nanos = int(hold.amount.nanos) if hold is not None else 0
    balance = Limit(
        scope="organization",
        remaining=amount(standing.available_nanos),
        limit=None,
        reset=None,
        covers=need_nanos <= standing.available_nanos,
    )
    if standing.key_limit_nanos is None or standing.key_free_nanos is None:
        return [balance]
    free_nanos = standing.key_free_nanos
    key = Limit(
        scope="key",
        remaining=amount(free_nanos),
        limit=amount(standing.key_limit_nanos),
        reset=standing.key_limit_reset or None,
        covers=need_nanos <= free_nanos,
    )
    return [balance, key]
