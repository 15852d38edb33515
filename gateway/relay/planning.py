"""From a request to its route, in two steps that serving and explaining share: the models it names, then their endpoints in order."""

import datetime as dt
import random
from dataclasses import replace

from gateway.dialects.base import ChatRequest
from gateway.relay.auto_router import ROUTERS, read_settings, resolve_names
from gateway.relay.catalog import Candidate, CatalogView
from gateway.relay.estimate import estimated_prompt_tokens
from gateway.relay.health import EndpointHealth
from gateway.relay.preferences import Expectation, Preferences, read_preferences
from gateway.relay.routing import Route, find_route, names_of
from gateway.relay.stickiness import settle_in
from gateway.relay.types import Home


def read_wish(request: ChatRequest) -> Preferences:
    """Return what the request wants of its endpoints. Raises: BadRequest naming the field."""
    wish = read_preferences(request.provider)
    return replace(wish, searches_web=True) if request.searches_web else wish


def plan_names(
    view: CatalogView, request: ChatRequest, wish: Preferences, *, home: Home | None, health: EndpointHealth, rng: random.Random
) -> tuple[str, ...]:
    """Return the models to try, each router's choice in its place. Raises: BadRequest, NoEndpoint."""
    names = names_of(request)
    if ROUTERS.isdisjoint(names):
        return names
    return resolve_names(view, request, names, wish=wish, health=health, rng=rng, stay_with="" if home is None else home.model)


def plan_route(
    view: CatalogView,
    request: ChatRequest,
    wish: Preferences,
    names: tuple[str, ...],
    *,
    home: Home | None,
    health: EndpointHealth,
    rng: random.Random,
) -> tuple[Route, Candidate | None]:
    """Return the endpoints in the order to try, and the conversation's home if that is in front. Raises: BadRequest, NoEndpoint."""
    if wish.sort == "expected_cost":
        now = dt.datetime.now(tz=dt.UTC)
        expected = Expectation(estimated_prompt_tokens(request), request.max_tokens, request.service_tier, now)
        wish = replace(wish, expected=expected)
    route = find_route(
        view,
        names=names,
        kind=request.kind,
        wish=wish,
        # Of other models the catalog lists no parameters.
        body=request.body if request.kind in ("chat", "embedding") else {},
        max_tokens=request.max_tokens,
        health=health,
        rng=rng,
    )
    route.is_hedged = wish.hedge
    if home is None:
        return route, None
    is_routed = not ROUTERS.isdisjoint(names_of(request))
    return route, settle_in(route, home, wish, health, any_model=is_routed and not read_settings(request.body.get("plugins")).pins_model)
