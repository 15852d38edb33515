"""The front door: what it is, what it costs, how to begin."""

from typing import Final

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from catalog import showcase
from gateway.pages.examples import curl_line

_PRICES_SHOWN: Final = 10


@require_safe
def show_landing(request: HttpRequest) -> HttpResponse:
    """Show the front page; every number on it is counted from the published catalog."""
    snapshot = showcase.published()
    rows = [
        row for row in showcase.model_rows(snapshot) if row.model.type == "chat" and row.provider_count and row.output_picos is not None
    ]
    context = {
        "model_count": len(snapshot.models) if snapshot else 0,
        "endpoint_count": len(snapshot.endpoints) if snapshot else 0,
        "provider_count": len(snapshot.providers) if snapshot else 0,
        "rows": rows[:_PRICES_SHOWN],
        "curl": curl_line(),
    }
    return render(request, "pages/landing.html", context)
