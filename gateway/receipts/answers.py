"""Files as answers of pages and of the API alike."""

import datetime as dt

from django.http import StreamingHttpResponse

from accounts.models import Organization
from billing.receipts import usage_rows
from gateway.receipts.export import Export
from gateway.receipts.periods import BadPeriod, Period
from gateway.receipts.usage_table import Format


def export(organization: Organization, period: Period, file_format: Format) -> StreamingHttpResponse:
    """Send an archive of usage rows while it is made. Raises: BadPeriod when rows of the period are no longer here."""
    archived = usage_rows.archived_until(organization, since=period.since, until=period.until)
    if archived is not None:
        raise BadPeriod("from", f"must be after {archived}: usage until then is not kept online any more, its statements are")
    made = Export(organization, since=period.since, until=period.until, file_format=file_format)
    last = period.until - dt.timedelta(days=1)
    name = f"usage-{period.since:%Y-%m-%d}-{last:%Y-%m-%d}-{file_format}.zip"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return StreamingHttpResponse(made.stream_async(), content_type="application/zip", headers=headers)
