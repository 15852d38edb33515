"""A dry run in the browser: where a request would go, why, and what would be held. The same functions that serve requests answer.

What is known of endpoints lately comes from the bulletins that all processes share; without the broker the page answers as if all were
well.
"""

import logging
import random
from typing import Any, NamedTuple

import msgspec
from asgiref.sync import async_to_sync
from django import forms
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods
from redis.exceptions import RedisError

from accounts import presets
from accounts import queries as account_queries
from accounts.middleware import OrganizationRequest, organization_required
from accounts.models import Organization
from billing import queries as billing_queries
from billing.authorizer.standing import Standing
from gateway.pages.examples import example_model
from gateway.relay.bulletins import Bulletins
from gateway.relay.catalog import CatalogView
from gateway.relay.dry_run import APIS, api_of, terms_of
from gateway.relay.errors import ApiError
from gateway.relay.explanation import explain
from gateway.relay.explanation_shapes import Explanation, Limit, RankedEndpoint
from gateway.relay.flow import read_under_rules
from gateway.relay.health import EndpointHealth
from gateway.relay_settings import published_view, relay_config

_log = logging.getLogger(__name__)

_BODY_MAX = 1_000_000
_APIS = [("", "As the body says"), *((api, f"/{api}") for api in APIS)]


class ExplainForm(forms.Form):
    """A request body, and which API it is for."""

    body = forms.CharField(
        label="Request body",
        max_length=_BODY_MAX,
        strip=False,
        widget=forms.Textarea(attrs={"rows": 12, "spellcheck": "false", "class": "mono"}),
        help_text="JSON as you would send it. Nothing is sent to a provider, held or charged.",
    )
    api = forms.ChoiceField(label="API", choices=_APIS, required=False)


class EndpointRow(NamedTuple):
    """An endpoint as the table shows it; the bound in nanos, the chance of being drawn first in percent."""

    endpoint: RankedEndpoint
    bound_nanos: int
    first_percent: str


class LimitRow(NamedTuple):
    """A limit as the page shows it, nanos."""

    limit: Limit
    remaining_nanos: int


@never_cache
@require_http_methods(["GET", "POST"])
@organization_required
def explain_route(request: OrganizationRequest) -> HttpResponse:
    """Show the form, and after a POST the explanation below it."""
    form = ExplainForm(request.POST or None, initial={"body": _example(request.GET.get("preset", ""))})
    context: dict[str, Any] = {
        "section": "requests",
        "form": form,
        "rules": [
            one
            for kind in ("policy", "preset")
            for one in account_queries.request_presets(request.organization, kind).filter(status="active")
        ],
    }
    status = 200
    if request.method == "POST":
        if form.is_valid():
            context |= _explained(request, form.cleaned_data["body"], form.cleaned_data["api"])
        status = 422 if form.errors or "refusal" in context else 200
    template = "pages/routing/_explanation.html" if _is_htmx(request) and not form.errors else "pages/routing/index.html"
    # HTMX swaps nothing in for errors; what the request would be refused with is an answer here.
    return render(request, template, context, status=200 if template.endswith("_explanation.html") else status)


def _is_htmx(request: HttpRequest) -> bool:
    return request.headers.get("HX-Request") == "true"


def _example(preset: str) -> str:
    body: dict[str, Any] = {"model": example_model(), "messages": [{"role": "user", "content": "Say hello."}]}
    body |= {"preset": preset[:64]} if preset else {"max_tokens": 200, "stream": True}
    return msgspec.json.format(msgspec.json.encode(body), indent=2).decode()


def _explained(request: OrganizationRequest, text: str, api: str) -> dict[str, Any]:
    view = published_view()
    if view is None:
        return {"refusal": ApiError("The catalog is not published yet.", remedy="Ask the operator to load it.")}
    try:
        explanation = _explain(request.organization, view.of(request.organization.pk), text.encode(), api)
    except ApiError as error:
        return {"refusal": error, "param": error.metadata.get("param", "")}
    rows = [
        EndpointRow(one, int(one.price_bound.nanos), "" if one.first_permille is None else f"{one.first_permille / 10:g} %")
        for one in explanation.endpoints
    ]
    limits = [LimitRow(one, int(one.remaining.nanos)) for one in explanation.limits]
    hold_nanos = None if explanation.hold is None else int(explanation.hold.amount.nanos)
    return {"explanation": explanation, "endpoints": rows, "limits": limits, "hold_nanos": hold_nanos}


def _explain(organization: Organization, view: CatalogView, data: bytes, api: str) -> Explanation:
    api = api_of(data, view, asked=api)
    request = read_under_rules(APIS[api], data, presets.rules_of(organization))
    balance = billing_queries.balance(organization)
    standing = Standing(balance.available_nanos, balance.held_nanos, None, "", None, key_is_disabled=False)
    rng = random.Random()  # noqa: S311 -- load balancing, not secrecy
    return explain(
        view, request, api=api, health=async_to_sync(_shared_health)(), standing=standing, terms=terms_of(relay_config()), rng=rng
    )


async def _shared_health() -> EndpointHealth:
    health = EndpointHealth()
    bulletins = Bulletins(settings.BROKER_REDIS_URL, health)
    try:
        await bulletins.catch_up()
    except (RedisError, OSError, TimeoutError) as error:
        _log.warning("a dry run goes without measurements: %s", type(error).__name__)
    finally:
        await bulletins.close()
    return health
