"""Statements by month and exports of usage, for management keys."""

from django.http import HttpResponse, StreamingHttpResponse
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.queries import key_names
from billing.receipts import statement as statements
from gateway.api import fields
from gateway.api.views import ApiView
from gateway.drf import ManagementKeyOnly, organization_of
from gateway.receipts import answers, periods, statement, statement_pdf
from gateway.receipts.periods import BadPeriod
from gateway.receipts.usage_table import FORMATS
from gateway.relay.errors import NotFound


class StatementList(ApiView):
    """GET /api/v1/statements: the months that there are statements of, newest first."""

    permission_classes = (IsAuthenticated, ManagementKeyOnly)

    def get(self, request: Request) -> Response:
        """List them."""
        months = statements.months_of(organization_of(request))
        return Response({"data": [{"period": f"{month:%Y-%m}"} for month in months]})


class StatementDetail(ApiView):
    """GET /api/v1/statements/{month}: signed JSON, or a PDF with ``format=pdf``."""

    permission_classes = (IsAuthenticated, ManagementKeyOnly)

    def get(self, request: Request, month: str) -> HttpResponse:
        """Answer. Raises: BadRequest, NotFound."""
        file_format = fields.read_choice({"format": request.query_params.get("format", "json")}, "format", ("json", "pdf"))
        organization = organization_of(request)
        found = statement.find(organization, month)
        if found is None:
            raise NotFound(f"There is no statement of {month[:16]}", remedy="GET /api/v1/statements lists the months, such as 2026-11.")
        if file_format == "json":
            return HttpResponse(statement.signed(found, organization), content_type="application/json")
        names = key_names(organization, {line.key_id for line in found.usage})
        return HttpResponse(statement_pdf.render(found, organization, names), content_type="application/pdf")


class UsageExport(ApiView):
    """GET /api/v1/exports/usage?from=…&to=…&format=…: an archive of usage rows, sent while it is made."""

    permission_classes = (IsAuthenticated, ManagementKeyOnly)

    def get(self, request: Request) -> StreamingHttpResponse:
        """Answer. Raises: BadRequest."""
        query = request.query_params
        file_format = next((known for known in FORMATS if known == query.get("format", "csv")), None)
        if file_format is None:
            fields.refuse("format", f"must be {', '.join(FORMATS)}")
        try:
            period = periods.read(query.get("from", ""), query.get("to", ""))
            return answers.export(organization_of(request), period, file_format)
        except BadPeriod as bad:
            fields.refuse(bad.field, bad.rule)
