"""What models have cost, and what has changed lately: public, cached by anyone, known by an entity tag."""

from typing import Any

import msgspec
from django.http import HttpRequest, HttpResponse
from django.utils.cache import get_conditional_response
from rest_framework.request import Request

from catalog import feed, history, showcase
from catalog.history import PricePeriod
from catalog.listing import Body, make_body, pricing_body
from catalog.types import ModelSpec, Snapshot
from gateway.api.views import ApiView
from gateway.drf import utc_text
from gateway.relay.errors import NotFound, Unavailable


class _PublicView(ApiView):
    """A view without a key whose answers may be kept."""

    authentication_classes = ()
    permission_classes = ()

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        """Let caches keep what is not an error."""
        answer = super().finalize_response(request, response, *args, **kwargs)
        if answer.status_code < 400:  # noqa: PLR2004 -- HTTP
            answer["Cache-Control"] = "public, max-age=60"
        return answer


def public_answer(request: HttpRequest, body: Body) -> HttpResponse:
    """Return ``body``, compressed for clients that take it, or 304 for those that have it."""
    tag = body.etag.decode()
    is_packed = "gzip" in request.headers.get("Accept-Encoding", "")
    answer = HttpResponse(body.gzip if is_packed else body.plain, content_type=body.content_type.decode())
    if is_packed:
        answer["Content-Encoding"] = "gzip"
    answer["ETag"], answer["Vary"] = tag, "Accept-Encoding"
    return get_conditional_response(request, etag=tag, response=answer) or answer


class PriceHistory(_PublicView):
    """GET /api/v1/prices/{author}/{slug}/history: every price of every endpoint of a model, dated changes that still wait included."""

    def get(self, request: Request, author: str, slug: str) -> HttpResponse:
        """Answer. Raises: NotFound, Unavailable."""
        snapshot = showcase.published()
        if snapshot is None:
            raise Unavailable("The catalog is not loaded yet.", retry_after_s=1)
        name = f"{author}/{slug}"
        model = snapshot.models.get(snapshot.aliases.get(name, name))
        if model is None:
            raise NotFound(f"Model {name} not found", remedy="GET /api/v1/models?output_modalities=all lists every model id.")
        periods = history.price_periods(model.endpoints)
        rows = [_endpoint_history(snapshot, model, endpoint_id, periods.get(endpoint_id, [])) for endpoint_id in model.endpoints]
        body = make_body(msgspec.json.encode({"data": {"id": model.id, "name": model.name, "endpoints": rows}}))
        return public_answer(request, body)


def _endpoint_history(snapshot: Snapshot, model: ModelSpec, endpoint_id: str, periods: list[PricePeriod]) -> dict[str, Any]:
    endpoint = snapshot.endpoints[endpoint_id]
    return {
        "endpoint": endpoint.id,
        "tag": endpoint.tag,
        "provider_name": snapshot.providers[endpoint.provider].name,
        "prices": [
            {
                "price_version_id": one.version_id,
                "effective_from": utc_text(one.since),
                "effective_until": utc_text(one.until),
                "scheduled": one.since > snapshot.published_at,
                "pricing": pricing_body(one.price, model.type),
                "source": one.source,
                "agreement": one.agreement_level,
            }
            for one in periods
        ],
    }


class JsonFeed(_PublicView):
    """GET /api/v1/feed.json: price changes and new models."""

    def get(self, request: Request) -> HttpResponse:
        """Answer."""
        return public_answer(request, feed.json_feed())


class RssFeed(_PublicView):
    """GET /feed.rss: the same for feed readers."""

    def get(self, request: Request) -> HttpResponse:
        """Answer."""
        return public_answer(request, feed.rss_feed())
