"""The catalog's public API: lists and details from the snapshot in force, compressed beforehand, with entity tags."""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from accounts.request_rules import RequestRules
from accounts.types import Caller
from catalog.listing import Body
from catalog.listings import MEASURED_SORTS, Listings, Measure, UnknownModel
from catalog.measurements import Measurement
from catalog.model_query import InvalidQuery, ModelQuery, read_outputs, read_page, read_query
from gateway.relay.catalog import CatalogView
from gateway.relay.errors import BadRequest, NotFound
from gateway.relay.exchange import Exchange
from gateway.relay.own_models import find_listings, make_listings, preferences_of

Handler = Callable[[Exchange], Awaitable[None]]

_PUBLIC: Final = (b"cache-control", b"public, max-age=60")
_PRIVATE: Final = (b"cache-control", b"private, no-cache")
_VARY: Final = (b"vary", b"accept-encoding")
_GZIP: Final = (b"content-encoding", b"gzip")
_REFUSED_GZIP: Final = re.compile(rb"gzip\s*;\s*q=0(\.0*)?\s*(,|$)")
_MEASURED_EVERY_S: Final = 3.0
_EMBEDDINGS: Final = frozenset({"embeddings"})


class CatalogApi:
    """Serves ``paths`` and everything below ``prefixes``. ``view`` returns the catalog in force and raises Unavailable without one."""

    prefixes: Final = ("/api/v1/models/", "/api/v1/model/", "/api/v1/images/models/")

    def __init__(
        self,
        view: Callable[[], CatalogView],
        measure: Measure,
        *,
        authenticate: Callable[[Exchange], Awaitable[Caller]],
        find_rules: Callable[[Caller], Awaitable[RequestRules]],
    ) -> None:
        self._view = view
        self._measure = measure
        self._authenticate = authenticate
        self._find_rules = find_rules
        self.routes: dict[str, Mapping[str, Handler]] = {
            "/api/v1/models": _read(self._models),
            "/api/v1/models/count": _read(self._count),
            "/api/v1/models/user": _read(self._user_models),
            "/api/v1/embeddings/models": _read(self._embedding_models),
            "/api/v1/images/models": _read(self._image_models),
            "/api/v1/videos/models": _read(self._video_models),
            "/api/v1/providers": _read(self._providers),
            "/api/v1/endpoints/zdr": _read(self._zero_retention),
        }
        self._model_routes = _read(self._model)
        self._endpoints_routes = _read(self._endpoints)
        self._image_endpoints_routes = _read(self._image_endpoints)

    def find(self, path: str) -> Mapping[str, Handler] | None:
        """Return the handlers of a path that names a model, or None. ``path`` has no slash at its end."""
        match path.split("/")[3:]:
            case ["model", _, _]:
                return self._model_routes
            case ["models", _, _, "endpoints"]:
                return self._endpoints_routes
            case ["images", "models", _, _, "endpoints"]:
                return self._image_endpoints_routes
        return None

    @property
    def _listings(self) -> Listings:
        return self._view().listings

    async def _models(self, exchange: Exchange) -> None:
        """GET /models: the whole list was made with the catalog; other questions are answered once and remembered."""
        if not exchange.query_string:
            await _respond(exchange, self._listings.default)
            return
        await self._search(exchange, _ask(read_query, exchange))

    async def _embedding_models(self, exchange: Exchange) -> None:
        page = _ask(read_page, exchange)
        await self._search(exchange, ModelQuery(outputs=_EMBEDDINGS, offset=page.offset, limit=page.limit))

    async def _user_models(self, exchange: Exchange) -> None:
        """GET /models/user: what the caller may use under the default policy of its organization, at the caller's prices."""
        caller = await self._authenticate(exchange)
        view, query = self._view().of(caller.org_id), _ask(read_query, exchange)
        wish = preferences_of(await self._find_rules(caller))
        listings = find_listings(view, wish) or await asyncio.to_thread(make_listings, view, wish)
        await self._search(exchange, query, listings=listings, cache=_PRIVATE)

    async def _search(
        self, exchange: Exchange, query: ModelQuery, *, listings: Listings | None = None, cache: tuple[bytes, bytes] = _PUBLIC
    ) -> None:
        listings, path, now_s = listings or self._listings, exchange.path.rstrip("/"), int(time.time())
        body = listings.find_known(query, path=path, now_s=now_s)
        if body is None:
            measured = self._measure_all() if query.sort in MEASURED_SORTS else None
            # Compression of a long list takes as long as a dozen requests; streams must not wait for it.
            body = await asyncio.to_thread(
                listings.search, query, path=path, query_string=exchange.query_string, now_s=now_s, measured=measured
            )
        await _respond(exchange, body, cache=cache)

    def _measure_all(self) -> dict[str, Measurement]:
        """Return what was measured at any endpoint. Here and not in a thread: the statistics move with the event loop."""
        names = self._view().snapshot.endpoints
        return {name: measured for name in names if (measured := self._measure(name)) is not None}

    async def _count(self, exchange: Exchange) -> None:
        await _respond(exchange, self._listings.count(_ask(read_outputs, exchange)))

    async def _providers(self, exchange: Exchange) -> None:
        await _respond(exchange, self._listings.providers)

    async def _zero_retention(self, exchange: Exchange) -> None:
        await _respond(exchange, self._listings.zero_retention)

    async def _image_models(self, exchange: Exchange) -> None:
        await _respond(exchange, self._listings.image_models)

    async def _video_models(self, exchange: Exchange) -> None:
        await _respond(exchange, self._listings.video_models)

    async def _model(self, exchange: Exchange) -> None:
        await _respond(exchange, _look_up(self._listings.model, "/".join(exchange.path.split("/")[4:6])))

    async def _endpoints(self, exchange: Exchange) -> None:
        moment = int(time.time() / _MEASURED_EVERY_S)

        def find(model_id: str) -> Body:
            return self._listings.endpoints(model_id, self._measure, moment=moment)

        await _respond(exchange, _look_up(find, "/".join(exchange.path.split("/")[4:6])))

    async def _image_endpoints(self, exchange: Exchange) -> None:
        await _respond(exchange, _look_up(self._listings.image_endpoints, "/".join(exchange.path.split("/")[5:7])))


def _read(handler: Handler) -> Mapping[str, Handler]:
    return {"GET": handler, "HEAD": handler}


def _ask(read: Callable[[bytes], ModelQuery], exchange: Exchange) -> ModelQuery:
    try:
        return read(exchange.query_string)
    except InvalidQuery as error:
        raise BadRequest(f"Invalid request parameters: {error}", metadata={"param": error.param}) from error


def _look_up(find: Callable[[str], Body], model_id: str) -> Body:
    try:
        return find(model_id)
    except UnknownModel as error:
        raise NotFound(f"Model {model_id} not found", remedy="GET /api/v1/models?output_modalities=all lists every model id.") from error


def _has_tag(given: bytes, etag: bytes) -> bool:
    # Weak comparison: proxies that recompress an answer drop or add the W/.
    return given == etag or any(one.strip().removeprefix(b"W/") in {b"*", etag.removeprefix(b"W/")} for one in given.split(b","))


async def _respond(exchange: Exchange, body: Body, *, cache: tuple[bytes, bytes] = _PUBLIC) -> None:
    headers = [(b"etag", body.etag), _VARY, cache]
    given = exchange.headers.get(b"if-none-match")
    if given is not None and _has_tag(given, body.etag):
        await exchange.respond_cached(304, b"", headers)
        return
    accepted = exchange.headers.get(b"accept-encoding", b"")
    data = body.plain
    if b"gzip" in accepted and _REFUSED_GZIP.search(accepted) is None:
        data = body.gzip
        headers.append(_GZIP)
    headers += ((b"content-type", body.content_type), (b"content-length", b"%d" % len(data)))
    await exchange.respond_cached(200, b"" if exchange.method == "HEAD" else data, headers)
