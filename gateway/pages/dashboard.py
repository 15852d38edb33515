"""The page a person lands on: balance, first steps, keys, latest requests. Its parts are fragments that refresh by themselves."""

from typing import Any, Final

from django.http import HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from accounts import queries as account_queries
from accounts.middleware import OrganizationRequest, organization_required
from billing import queries as billing_queries
from gateway.pages.examples import curl_line
from gateway.pages.keys import key_rows
from gateway.pages.requests import request_rows

_REQUESTS_SHOWN: Final = 10


def _balance_context(request: OrganizationRequest) -> dict[str, Any]:
    balance = billing_queries.balance(request.organization)
    return {
        "balance": balance,
        "credits_nanos": billing_queries.total_credits_nanos(request.organization),
        "usage_nanos": billing_queries.total_usage_nanos(request.organization),
    }


@never_cache
@require_safe
@organization_required
def show_dashboard(request: OrganizationRequest) -> HttpResponse:
    """Show everything."""
    context = {
        "section": "dashboard",
        **_balance_context(request),
        "keys": key_rows(request, now=timezone.now()),
        "requests": request_rows(request.organization, limit=_REQUESTS_SHOWN),
        "curl": curl_line(),
    }
    return render(request, "pages/dashboard/index.html", context)


@never_cache
@require_safe
@organization_required
def balance_card(request: OrganizationRequest) -> HttpResponse:
    """Show the balance alone."""
    return render(request, "pages/dashboard/_balance.html", _balance_context(request))


@never_cache
@require_safe
@organization_required
def first_steps(request: OrganizationRequest) -> HttpResponse:
    """Show what is still to do before the first request has been answered; nothing afterwards."""
    context = {
        "keys": account_queries.api_keys(request.organization),
        "requests": request_rows(request.organization, limit=1),
        "credits_nanos": billing_queries.total_credits_nanos(request.organization),
        "curl": curl_line(),
    }
    return render(request, "pages/dashboard/_steps.html", context)
