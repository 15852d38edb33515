"""The data plane as an ASGI application: paths, methods, and the one place where an error becomes an answer."""

import logging
from collections.abc import Awaitable, Callable, Mapping

from catalog.listings import Measure
from gateway.dialects.client_registry import CLIENT_DIALECTS, MESSAGES
from gateway.relay import dry_run
from gateway.relay.catalog import CatalogView
from gateway.relay.catalog_api import CatalogApi
from gateway.relay.config import RelayConfig
from gateway.relay.dry_run import DryRuns
from gateway.relay.errors import ApiError, MethodNotAllowed, NotFound, Unavailable
from gateway.relay.exchange import AnswerCut, ClientGone, Exchange, Message, Receive, Send
from gateway.relay.flow import ChatFlow

_log = logging.getLogger(__name__)
_Handler = Callable[[Exchange], Awaitable[None]]
_COUNT_TOKENS = "/api/v1/messages/count_tokens"
_CORS = (
    (b"access-control-allow-methods", b"GET, POST, OPTIONS"),
    (b"access-control-allow-headers", b"*, authorization"),
    (b"access-control-max-age", b"86400"),
)


class RelayApp:
    """Serves the paths in ``paths``; ``gateway/asgi.py`` sends it nothing else. ``view`` is None until a catalog is loaded."""

    def __init__(self, config: RelayConfig, flow: ChatFlow, dry_runs: DryRuns, measure: Measure) -> None:
        self._config = config
        self._flow = flow
        self._dry_runs = dry_runs
        self.view: CatalogView | None = None
        self._catalog = CatalogApi(self._current_view, measure, authenticate=flow.authenticate, find_rules=flow.find_rules)
        self._routes: dict[str, Mapping[str, _Handler]] = {
            **self._catalog.routes,
            **{path: {"POST": self._generate} for path in CLIENT_DIALECTS},
            _COUNT_TOKENS: {"POST": self._count_tokens},
            dry_run.PATH: {"POST": self._explain},
        }

    @property
    def paths(self) -> tuple[str, ...]:
        """Every path that this application serves, but for those below ``prefixes``."""
        return tuple(self._routes)

    @property
    def prefixes(self) -> tuple[str, ...]:
        """What paths begin with that name a model."""
        return self._catalog.prefixes

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve one request."""
        exchange = Exchange(scope, receive, send, body_max_bytes=self._config.body_max_bytes, body_timeout_s=self._config.body_timeout_s)
        try:
            await self._handler(exchange)(exchange)
        except (ClientGone, AnswerCut):
            return
        except ApiError as error:
            await exchange.fail(error)
        except Exception:
            # The trace goes to our log under the generation id that the client sees; the client gets no detail of ours.
            _log.exception("unexpected failure, headers %s", exchange.extra_headers)
            if exchange.started:
                raise
            await exchange.fail(ApiError("Internal Server Error", remedy="Try again; quote X-Generation-Id if it persists."))

    def _handler(self, exchange: Exchange) -> _Handler:
        path = exchange.path
        if path not in self._routes:
            path = path.rstrip("/")
        methods = self._routes.get(path) or self._catalog.find(path)
        if methods is None:
            raise NotFound(f"There is nothing at {exchange.path}", remedy="The API lives under /api/v1.")
        dialect = CLIENT_DIALECTS.get(path.removesuffix("/count_tokens"))
        if dialect is not None:
            exchange.encode_error = dialect.encode_error
        handler = methods.get(exchange.method)
        if handler is not None:
            return handler
        if exchange.method == "OPTIONS":
            return self._preflight
        allowed = ", ".join(methods)
        exchange.extra_headers.append((b"allow", allowed.encode()))
        raise MethodNotAllowed(f"{exchange.method} is not allowed here; use {allowed}")

    async def _preflight(self, exchange: Exchange) -> None:
        await exchange.respond(204, b"", *_CORS)

    def _current_view(self) -> CatalogView:
        if self.view is None:
            raise Unavailable("The catalog is not loaded yet.", retry_after_s=1)
        return self.view

    async def _count_tokens(self, exchange: Exchange) -> None:
        await self._flow.count_tokens(exchange, self._current_view(), MESSAGES)

    async def _explain(self, exchange: Exchange) -> None:
        await self._dry_runs.serve(exchange, self._current_view())

    async def _generate(self, exchange: Exchange) -> None:
        await self._flow.serve(exchange, self._current_view(), CLIENT_DIALECTS[exchange.path.rstrip("/")])
