"""What the API says of usage that is in the archive."""

import datetime as dt

import pytest

from billing.models import UsageArchive, UsageArchiveSum
from billing.types import generation_id
from tests.billing import plane

pytestmark = pytest.mark.django_db

DAY = dt.date(2025, 3, 10)


@pytest.fixture(autouse=True)
def _archived(organization):
    UsageArchive.objects.create(day=DAY, file="f", sha256="0" * 64, size_bytes=1, rows=1, amount_nanos=1, cost_nanos=1)
    whose = {"org_id": organization.pk, "posted_on": DAY, "day": DAY, "key_id": 1, "model": "acme/swift", "provider": "acme"}
    UsageArchiveSum.objects.create(**whose, requests=1, amount_nanos=1, cost_nanos=1, tokens_in=1, tokens_out=1)


@pytest.mark.parametrize("path", ["generation?id={}", "receipts/{}"])
def test_a_receipt_is_gone_and_the_answer_says_where_its_sums_are(api, path):
    old = plane.id_at(dt.datetime(2025, 3, 10, 12, tzinfo=dt.UTC))

    answer = api("GET", path.format(generation_id(old)))

    assert answer.status_code == 410
    assert "2025-03-10" in answer.json()["error"]["message"]
    assert "statement" in answer.json()["error"]["message"]


def test_an_export_that_would_lack_rows_is_refused_for_whom_it_concerns_alone(api, stranger_api):
    period = "from=2025-03-01&to=2025-03-31"

    refused = api("GET", f"exports/usage?{period}")

    assert refused.status_code == 400
    assert refused.json()["error"]["metadata"]["param"] == "from"
    assert "must be after 2025-03-10" in refused.json()["error"]["message"]
    assert api("GET", "exports/usage?from=2025-03-11&to=2025-03-31").status_code == 200
    assert stranger_api("GET", f"exports/usage?{period}").status_code == 200
