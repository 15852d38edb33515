"""One request from top to bottom: authenticate, decode, route, hold, then answer whole or in a stream. Read this file first."""

import asyncio
import random
import time

import msgspec

from accounts.lookup import KeyLookup, LookupDown
from accounts.request_rules import RequestRules
from accounts.rule_lookup import RuleLookup
from accounts.types import Caller, InvalidKey, KeyExpired
from gateway.dialects.base import ChatRequest, InvalidRequest
from gateway.dialects.client import ClientDialect
from gateway.dialects.units import FormClient
from gateway.relay.admission import admit
from gateway.relay.answers import AnswerRelay
from gateway.relay.attempts import LARGE_BYTES
from gateway.relay.catalog import CatalogView
from gateway.relay.errors import ApiError, BadRequest, Forbidden, Unauthorized, Unavailable
from gateway.relay.estimate import estimated_prompt_tokens
from gateway.relay.exchange import Exchange
from gateway.relay.generation import Generation, new_event_id
from gateway.relay.health import EndpointHealth
from gateway.relay.hold import Cashier
from gateway.relay.metadata import HEADERS as METADATA_HEADERS
from gateway.relay.planning import plan_names, plan_route, read_wish
from gateway.relay.policies import apply_policies
from gateway.relay.presets import apply_preset, preset_in, preset_named
from gateway.relay.repeats import IDEMPOTENCY_KEY, Repeat, Repeats
from gateway.relay.routing import Route
from gateway.relay.settlement import Settler
from gateway.relay.sounds import SoundRelay
from gateway.relay.stickiness import SESSION_MAX, Stickiness
from gateway.relay.streams import StreamRelay
from gateway.relay.web_search import mark_search

_WISHES = frozenset({b"anthropic-beta", b"x-anthropic-beta", b"x-session-id", *METADATA_HEADERS})  # headers that few requests have


class ChatFlow:
    """Serves every client dialect whose answers are a model's."""

    def __init__(
        self,
        *,
        keys: KeyLookup,
        rules: RuleLookup,
        cashier: Cashier,
        settler: Settler,
        answers: AnswerRelay,
        streams: StreamRelay,
        sounds: SoundRelay,
        health: EndpointHealth,
        stickiness: Stickiness,
        repeats: Repeats,
    ) -> None:
        self._keys = keys
        self._rules = rules
        self._cashier = cashier
        self._settler = settler
        self._answers = answers
        self._streams = streams
        self._sounds = sounds
        self._health = health
        self._stickiness = stickiness
        self._repeats = repeats
        self._rng = random.Random()  # noqa: S311 -- load balancing, not secrecy

    async def serve(self, exchange: Exchange, view: CatalogView, dialect: ClientDialect) -> None:
        """Answer the request. Raises: ApiError before anything was sent; nothing is charged then."""
        started_ns = time.perf_counter_ns()
        caller = await self.authenticate(exchange)
        view = view.of(caller.org_id)
        if isinstance(dialect, FormClient) and (form := exchange.header(b"content-type")).lower().startswith("multipart/form-data"):
            dialect = dialect.of_form(form)
        body = await exchange.read_body()
        repeat: Repeat | None = None
        if IDEMPOTENCY_KEY in exchange.headers:
            repeat = await self._repeats.begin(exchange, caller, body)
            if repeat is None:
                return  # answered once more, and not charged again
        try:
            await self._serve_once(exchange, view, dialect, body, caller=caller, repeat=repeat, started_ns=started_ns)
        finally:
            if repeat is not None:
                self._repeats.end(repeat, exchange)

    async def _serve_once(
        self,
        exchange: Exchange,
        view: CatalogView,
        dialect: ClientDialect,
        body: bytes,
        *,
        caller: Caller,
        repeat: Repeat | None,
        started_ns: int,
    ) -> None:
        event_id = new_event_id() if repeat is None else repeat.claim.event_id
        exchange.generation_id = f"gen-{event_id.hex}"
        exchange.extra_headers.append((b"x-generation-id", exchange.generation_id.encode()))
        request = await self.read(caller, dialect, body)
        if not _WISHES.isdisjoint(exchange.headers):
            read_wishes(exchange, request)
        route = self._route(view, request, caller.org_id)
        generation = Generation(
            event_id=event_id,
            caller=caller,
            request=request,
            dialect=dialect,
            view=view,
            route=route,
            client=exchange.client_info(),
            started_ns=started_ns,
            id=exchange.generation_id,
        )
        if repeat is not None:
            repeat.generation = generation
        await self._cashier.reserve(generation)
        await self._answer(generation, exchange)

    async def count_tokens(self, exchange: Exchange, view: CatalogView, dialect: ClientDialect) -> None:
        """Answer how many tokens a prompt probably has, without asking a model; free. Raises: ApiError."""
        caller = await self.authenticate(exchange)
        request = await self.read(caller, dialect, await exchange.read_body())
        if request.model is None or view.find_model(request.model) is None:
            self._route(view, request, caller.org_id)  # which says what is wrong with it
        await exchange.respond(200, msgspec.json.encode({"input_tokens": estimated_prompt_tokens(request)}))

    async def read(self, caller: Caller, dialect: ClientDialect, data: bytes) -> ChatRequest:
        """Return the body as a request, with the preset that it names and under the policies of its organization. Raises: ApiError."""
        rules = self._rules.find(caller.org_id) or await self.find_rules(caller)
        if len(data) >= LARGE_BYTES:
            # Megabytes take as long as a hundred requests; streams must not wait for them.
            return await asyncio.to_thread(read_under_rules, dialect, data, rules)
        return read_under_rules(dialect, data, rules)

    async def find_rules(self, caller: Caller) -> RequestRules:
        """Return what the caller's organization has laid down. Raises: Unavailable."""
        rules = self._rules.find(caller.org_id)
        if rules is not None:
            return rules
        try:
            return await self._rules.resolve(caller.org_id)
        except LookupDown as error:
            raise Unavailable("Presets and policies cannot be read at the moment; nothing was charged.", retry_after_s=1) from error

    async def _answer(self, generation: Generation, exchange: Exchange) -> None:
        """Run the relay; whatever happens, the hold is settled exactly once."""
        request = generation.request
        if request.kind == "speech":
            relay: AnswerRelay | StreamRelay | SoundRelay = self._sounds
        else:
            relay = self._streams if request.stream and request.kind == "chat" else self._answers
        try:
            await relay.serve(generation, exchange)
        except ApiError as error:
            generation.outcome.error_type, generation.outcome.http_status = error.error_type, error.status
            raise
        finally:
            if not generation.settled:
                self._settler.settle(generation)
            outcome, candidate = generation.outcome, generation.candidate
            if outcome.status == "ok" and outcome.usage is not None and candidate is not None:
                self._stickiness.note(generation.caller.org_id, generation.request, candidate.endpoint, outcome.usage)

    async def authenticate(self, exchange: Exchange) -> Caller:
        """Return who is calling. Raises: Unauthorized, Forbidden, Unavailable."""
        secret = bearer_secret(exchange)
        caller = self._keys.find(secret)
        if caller is None:
            try:
                caller = await self._keys.resolve(secret)
            except InvalidKey as invalid:
                raise Unauthorized("User not found.", remedy="Check the key; it may have been deleted.") from invalid
            except KeyExpired as expired:
                raise Unauthorized("This API key has expired.", remedy="Create a new key.") from expired
            except LookupDown as down:
                raise Unavailable("Keys cannot be checked at the moment; nothing was charged.", retry_after_s=1) from down
        if caller.is_management:
            raise Forbidden(
                "Management keys cannot call models.",
                remedy="Create an API key for inference; management keys only manage keys and read credits.",
            )
        return caller

    def _route(self, view: CatalogView, request: ChatRequest, org_id: int) -> Route:
        wish, home = read_wish(request), self._stickiness.find(org_id, request)
        names = plan_names(view, request, wish, home=home, health=self._health, rng=self._rng)
        return plan_route(view, request, wish, names, home=home, health=self._health, rng=self._rng)[0]


def read_wishes(exchange: Exchange, request: ChatRequest) -> None:
    """Put what headers wish for into the request. Raises: BadRequest."""
    request.beta = exchange.header(b"anthropic-beta") or exchange.header(b"x-anthropic-beta")
    request.wants_metadata = any(exchange.header(name).lower() == "enabled" for name in METADATA_HEADERS)
    if not request.session_id and (session := exchange.header(b"x-session-id")):
        request.session_id = checked_session(session)


def checked_session(session: str) -> str:
    """Return the session that a header names. Raises: BadRequest for one that is too long."""
    if len(session) > SESSION_MAX:
        raise BadRequest(f"x-session-id has at most {SESSION_MAX} characters", metadata={"param": "x-session-id"})
    return session


def read_under_rules(dialect: ClientDialect, data: bytes, rules: RequestRules) -> ChatRequest:
    """Return the body as a request, with its preset and under the policies. Raises: BadRequest, NotFound, NoEndpoint."""
    try:
        request = read_request(dialect, data)
        slug = preset_named(request)
    except BadRequest:
        # What is missing may be what the preset brings.
        slug = preset_in(data)
        if not slug:
            raise
    if slug:
        request = read_request(dialect, apply_preset(data, slug, rules, dialect.api))
    if rules.default_policy or "policy" in request.provider:
        request.provider = apply_policies(request.provider, rules)
    return request


def read_request(dialect: ClientDialect, body: bytes) -> ChatRequest:
    """Return the body as a request that may pass. Raises: BadRequest naming the field."""
    try:
        request = dialect.decode_request(body)
    except InvalidRequest as error:
        raise BadRequest(error.message, metadata={"param": error.param} if error.param else None) from error
    request.body_bytes = len(body)
    admit(request)
    mark_search(request)
    return request


def bearer_secret(exchange: Exchange) -> str:
    """Return the secret of the Authorization header (Bearer) or of x-api-key. Raises: Unauthorized."""
    value = exchange.header(b"authorization")
    scheme, _, secret = value.partition(" ")
    if scheme.lower() == "bearer" and secret:
        return secret.strip()
    secret = exchange.header(b"x-api-key")
    if secret:
        return secret.strip()
    raise Unauthorized(
        "Missing Authentication header",
        remedy="Send 'Authorization: Bearer <key>'; keys are made on the dashboard.",
    )
