"""The operator's page of what is earned, and the same as CSV."""

import csv
import datetime as dt
from collections.abc import Iterator
from typing import Final

from django.http import HttpRequest, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from billing.margin import report
from billing.margin.report import BadPeriod, Report, Row
from billing.money import usd_text
from billing.proof.access import operator_required

# What a spreadsheet would take for a formula.
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


@never_cache
@require_safe
@operator_required
def show_margin(request: HttpRequest) -> HttpResponseBase:
    """Show revenue, cost, fees and margin; period and dimension are in the address, format=csv is a download."""
    by = report.read_dimension(request.GET.get("by", ""))
    today = timezone.now().astimezone(dt.UTC).date()
    error = ""
    try:
        since, until = report.read_period(request.GET.get("since", "").strip(), request.GET.get("until", "").strip(), today=today)
    except BadPeriod as problem:
        error = str(problem)
        since, until = report.read_period("", "", today=today)
    made = report.make(by=by, since=since, until=until)
    if request.GET.get("format") == "csv" and not error:
        return _download(made)
    context = {
        "section": "operator",
        "report": made,
        "plot": made.plot,
        "checks": report.ledger_check(),
        "dimensions": report.DIMENSIONS,
        "error": error,
    }
    return render(request, "billing/operator/margin.html", context, status=400 if error else 200)


def _download(made: Report) -> StreamingHttpResponse:
    answer = StreamingHttpResponse(_csv(made), content_type="text/csv; charset=utf-8")
    answer["Content-Disposition"] = f'attachment; filename="margin-by-{made.by}-{made.since}-{made.until}.csv"'
    return answer


class _Echo:
    """Hands back what csv writes."""

    def write(self, line: str) -> str:
        return line


def _csv(made: Report) -> Iterator[str]:
    writer = csv.writer(_Echo())
    yield writer.writerow([made.by, "requests", "revenue_usd", "provider_cost_usd", "fees_usd", "margin_usd"])
    for row in (*made.rows, made.total):
        yield writer.writerow(_cells(row))


def _cells(row: Row) -> list[str | int]:
    name = f"'{row.name}" if row.name.startswith(_FORMULA) else row.name
    fees = "" if row.fees_nanos is None else usd_text(row.fees_nanos)
    return [name, row.requests, usd_text(row.revenue_nanos), usd_text(row.cost_nanos), fees, usd_text(row.margin_nanos)]
