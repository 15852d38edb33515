"""The operator's status page of the books, and the same as metrics."""

import hmac

from django.conf import settings
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from accounts.models import Organization
from billing.proof import freezes, metrics, queries
from billing.proof.access import operator_of, operator_required


@never_cache
@require_safe
@operator_required
def show_books(request: HttpRequest) -> HttpResponse:
    """Show every invariant with its zero, what is broken now, and who is frozen."""
    context = {
        "section": "operator",
        "statuses": queries.statuses(),
        "incidents": queries.open_incidents(),
        "closed": queries.closed_incidents(),
        "freezes": queries.freezes_in_force(),
    }
    return render(request, "billing/operator/books.html", context)


@require_POST
@operator_required
def lift_freeze(request: HttpRequest, public_id: str) -> HttpResponse:
    """Let an organization spend again."""
    organization = get_object_or_404(Organization, public_id=public_id)
    operator = operator_of(request)
    if operator is None:
        raise Http404
    if freezes.lift(organization=organization, by=operator):
        messages.success(request, f"{organization.name} may start requests again.")
    else:
        messages.info(request, f"{organization.name} was not frozen.")
    return redirect("operator_books")


@never_cache
@require_safe
def show_metrics(request: HttpRequest) -> HttpResponse:
    """Show the state of the books as Prometheus text, to operators and to whoever has the metrics token."""
    if not _has_token(request) and operator_of(request) is None:
        raise Http404
    return HttpResponse(metrics.render(), content_type="text/plain; version=0.0.4; charset=utf-8")


def _has_token(request: HttpRequest) -> bool:
    kind, _, token = request.headers.get("Authorization", "").partition(" ")
    expected: str = settings.METRICS_TOKEN
    return bool(expected) and kind.lower() == "bearer" and hmac.compare_digest(token.strip().encode(), expected.encode())
