"""Statements in the browser: the months, one month's figures and files, and exports of usage."""

import datetime as dt

from django.http import Http404, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from accounts.middleware import OrganizationRequest, organization_required
from accounts.queries import key_names
from billing.receipts import statement as statements
from billing.receipts.statement import Statement
from gateway.receipts import answers, periods, statement, statement_pdf
from gateway.receipts.periods import BadPeriod
from gateway.receipts.statement_pdf import MOVEMENT_WORDS
from gateway.receipts.usage_table import FORMATS

_UNPROCESSABLE = 422


@never_cache
@require_safe
@organization_required
def list_statements(request: OrganizationRequest) -> HttpResponse:
    """Show the months and the form for exports."""
    return _list(request)


@never_cache
@require_safe
@organization_required
def show_statement(request: OrganizationRequest, month: str) -> HttpResponse:
    """Show a month; 404 for what is none."""
    found = _find(request, month)
    names = key_names(request.organization, {line.key_id for line in found.usage})
    context = {
        "section": "requests",
        "statement": found,
        "month": month,
        "last_day": found.until - dt.timedelta(days=1),
        "movements": [(one, MOVEMENT_WORDS.get(one.reason, one.reason.replace("_", " ").capitalize())) for one in found.movements],
        "charged": [(credit.replace("_", " "), -nanos) for credit, nanos in sorted(found.charged.items())],
        "by_model": statement.by_model(found.usage),
        "by_key": [(names.get(key_id, ""), total) for key_id, total in statement.by_key(found.usage)],
    }
    return render(request, "pages/statements/month.html", context)


@never_cache
@require_safe
@organization_required
def download_statement(request: OrganizationRequest, month: str, file_format: str) -> HttpResponse:
    """Answer with a month as signed JSON or as PDF."""
    found = _find(request, month)
    if file_format == "json":
        body = statement.signed(found, request.organization)
    else:
        names = key_names(request.organization, {line.key_id for line in found.usage})
        body = statement_pdf.render(found, request.organization, names)
    headers = {"Content-Disposition": f'attachment; filename="statement-{month}.{file_format}"'}
    return HttpResponse(body, content_type=f"application/{file_format}", headers=headers)


@never_cache
@require_safe
@organization_required
def export_usage(request: OrganizationRequest) -> HttpResponseBase:
    """Send an archive of usage rows, or the form again with what is wrong."""
    file_format = next((known for known in FORMATS if known == request.GET.get("format")), None)
    if file_format is None:
        return _list(request, problem=("format", "Choose one of the formats."))
    try:
        period = periods.read(request.GET.get("from", ""), request.GET.get("to", ""))
        return answers.export(request.organization, period, file_format)
    except BadPeriod as bad:
        return _list(request, problem=(bad.field, f"{ {'from': 'The first day', 'to': 'The last day'}[bad.field] } {bad.rule}."))


def _list(request: OrganizationRequest, *, problem: tuple[str, str] | None = None) -> HttpResponse:
    today = timezone.now().date()
    given = request.GET if problem else {}
    context = {
        "section": "requests",
        "months": statements.months_of(request.organization),
        "formats": FORMATS,
        "first": given.get("from", f"{today.replace(day=1):%Y-%m-%d}"),
        "last": given.get("to", f"{today:%Y-%m-%d}"),
        "chosen": given.get("format", FORMATS[0]),
        "problem_field": problem[0] if problem else "",
        "problem": problem[1] if problem else "",
    }
    return render(request, "pages/statements/index.html", context, status=_UNPROCESSABLE if problem else 200)


def _find(request: OrganizationRequest, month: str) -> Statement:
    found = statement.find(request.organization, month)
    if found is None:
        raise Http404
    return found
