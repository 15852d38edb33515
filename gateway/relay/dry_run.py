"""POST /api/v1/route/explain: what would happen to a request. Nothing is held, charged or sent to a provider."""

import random
from typing import Final
from urllib.parse import parse_qs

import msgspec

from accounts.types import InvalidKey
from billing.authorizer.connection import MoneyStoreDown
from billing.authorizer.holds import Holds
from gateway.dialects.base import InvalidRequest, Json
from gateway.dialects.chat_completions import parse_json
from gateway.dialects.client import ClientDialect
from gateway.dialects.client_registry import CLIENT_DIALECTS
from gateway.relay.catalog import CatalogView
from gateway.relay.config import RelayConfig
from gateway.relay.errors import BadRequest, Unauthorized, Unavailable
from gateway.relay.exchange import Exchange
from gateway.relay.explanation import Terms, explain
from gateway.relay.flow import ChatFlow, checked_session
from gateway.relay.health import EndpointHealth
from gateway.relay.stickiness import Stickiness

PATH: Final = "/api/v1/route/explain"
# The word of ?api= → the dialect.
APIS: Final[dict[str, ClientDialect]] = {dialect.api: dialect for dialect in CLIENT_DIALECTS.values()}


# Fields that only one API has.
_OWN_FIELDS: Final = {"prompt": "completions", "documents": "rerank"}


class DryRuns:
    """Answers dry runs. One per process."""

    def __init__(self, *, flow: ChatFlow, holds: Holds, health: EndpointHealth, stickiness: Stickiness, config: RelayConfig) -> None:
        self._flow = flow
        self._holds = holds
        self._health = health
        self._stickiness = stickiness
        self._terms = terms_of(config)
        self._rng = random.Random()  # noqa: S311 -- load balancing, not secrecy

    async def serve(self, exchange: Exchange, view: CatalogView) -> None:
        """Answer with an Explanation. Raises: ApiError, as the request itself would for a body that is malformed."""
        caller = await self._flow.authenticate(exchange)
        view = view.of(caller.org_id)
        body = await exchange.read_body()
        api = api_of(body, view, asked=_asked_api(exchange), is_anthropic=bool(exchange.header(b"anthropic-version")))
        request = await self._flow.read(caller, APIS[api], body)
        if not request.session_id and (session := exchange.header(b"x-session-id")):
            request.session_id = checked_session(session)
        try:
            standing = await self._holds.standing(caller)
        except InvalidKey as error:
            raise Unauthorized("User not found.", remedy="Check the key; it may have been deleted.") from error
        except MoneyStoreDown as error:
            raise Unavailable("Balances cannot be checked at the moment.", retry_after_s=error.retry_after_s) from error
        explanation = explain(
            view,
            request,
            api=api,
            health=self._health,
            standing=standing,
            home=self._stickiness.find(caller.org_id, request),
            terms=self._terms,
            rng=self._rng,
        )
        await exchange.respond(200, msgspec.json.encode({"data": explanation}))


def terms_of(config: RelayConfig) -> Terms:
    """Return what the service allows a request."""
    return Terms(config.attempts_max, config.hold_output_tokens, config.public_url)


def _asked_api(exchange: Exchange) -> str:
    return parse_qs(exchange.query_string.decode("latin-1")).get("api", [""])[0]


def api_of(body: bytes, view: CatalogView, *, asked: str = "", is_anthropic: bool = False) -> str:
    """Return which API a body is for: the one asked for, else by its fields. Raises: BadRequest."""
    if asked:
        if asked not in APIS:
            raise BadRequest(f"api must be one of {', '.join(APIS)}", metadata={"param": "api"})
        return asked
    try:
        fields = parse_json(body)
    except InvalidRequest as error:
        raise BadRequest(error.message) from error
    if not isinstance(fields, dict):
        return "chat"  # whose reader says what is wrong with it
    if "messages" in fields:
        return "messages" if is_anthropic or "system" in fields or "stop_sequences" in fields else "chat"
    if "input" in fields:
        return "embeddings" if _is_embedding_model(fields, view) else "responses"
    return next((api for field, api in _OWN_FIELDS.items() if field in fields), "chat")


def _is_embedding_model(fields: Json, view: CatalogView) -> bool:
    name = fields.get("model")
    found = view.find_model(name) if isinstance(name, str) else None
    return found is not None and found[0].type == "embedding"
