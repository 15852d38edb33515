"""Statements as signed papers and PDFs, and that an export of the same days adds up to them."""

import datetime as dt
import io
import json
import zipfile

import pytest

from billing.books import transfers
from billing.models import Account
from billing.receipts import signing
from gateway.receipts import statement_pdf
from tests.gateway.api.client import ApiClient
from tests.gateway.receipts.conftest import body_of
from tests.gateway.receipts.test_receipt import book_priced

pytestmark = pytest.mark.django_db

MONTH = f"{dt.datetime.now(tz=dt.UTC):%Y-%m}"


@pytest.fixture
def used(organization, make_key, price, api):
    """Grant and use some credit, with two keys."""
    transfers.grant(organization=organization, amount_nanos=20_000_000, reason="secret reason", idempotency_key="a", by=None)
    for name in ("a", "a", "b"):
        book_priced(make_key(name=name)[0], price)


def test_a_statement_holds_and_is_the_ledger(used, api, verify, organization):
    answer = api("GET", f"statements/{MONTH}")
    paper = json.loads(answer.content)
    told = verify(answer.content)
    balance = sum(one.credits_nanos - one.debits_nanos for one in Account.objects.filter(org=organization))
    assert (told.returncode, told.stderr) == (0, "")
    assert (paper["opening_nanos"], paper["closing_nanos"]) == (0, balance)
    assert paper["usage"]["amount_nanos"] == 3 * 18_690_981
    assert paper["usage"]["by_credit"] == [
        {"credit": "credit", "amount_nanos": 3 * 18_690_981 - 20_000_000}, {"credit": "promo_credit", "amount_nanos": 20_000_000}
    ]  # fmt: skip
    assert (len(paper["usage"]["by_model"]), len(paper["usage"]["by_key"]), paper["is_final"]) == (1, 3, False)
    assert b"secret reason" not in answer.content
    assert f"{MONTH} of {organization.public_id}: $0.000000000 + $0.020000000 - $0.056072943 of usage = -$0.036072943" in told.stdout


def test_an_export_of_the_same_days_adds_up_to_the_statement(used, api):
    today = dt.datetime.now(tz=dt.UTC).date()
    archive = api("GET", f"exports/usage?from={MONTH}-01&to={today}")
    exported = json.loads(zipfile.ZipFile(io.BytesIO(body_of(archive))).comment)
    paper = json.loads(api("GET", f"statements/{MONTH}").content)
    assert (exported["amount_nanos"], exported["rows"]) == (paper["usage"]["amount_nanos"], paper["usage"]["requests"])


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"closing_nanos": 1}, "closing balance"),
        ({"opening_nanos": 1}, "closing balance"),
        ({"movements": []}, "closing balance"),
        ({"usage": {"amount_nanos": 0, "requests": 0, "by_credit": [], "by_model": [], "by_key": []}}, "closing balance"),
    ],
)
def test_a_wrong_statement_is_refused_even_when_we_signed_it(used, api, verify, change, reason):
    document = {**json.loads(api("GET", f"statements/{MONTH}").content), **change}
    del document["signature"]
    told = verify(signing.sign(document))
    assert (told.returncode, reason in told.stdout) == (1, True)


def test_it_comes_as_pdf_too(used, api):
    answer = api("GET", f"statements/{MONTH}?format=pdf")
    assert (answer.status_code, answer["Content-Type"], answer.content[:5]) == (200, "application/pdf", b"%PDF-")


def test_amounts_in_print_have_all_nine_decimals():
    assert [statement_pdf.exact_text(nanos) for nanos in (0, 1, -214_000, 1_234_000_000_001)] == [
        "$0.000000000", "$0.000000001", "−$0.000214000", "$1,234.000000001"
    ]  # fmt: skip


def test_the_months_are_listed(api):
    assert api("GET", "statements").json() == {"data": [{"period": MONTH}]}


@pytest.mark.parametrize("month", ["2020-01", "2999-01", "2026-13", "2026-1", "nonsense", "２０２６-11"])
def test_what_is_no_month_of_the_organization_is_not_found(api, month):
    assert api("GET", f"statements/{month}").status_code == 404


def test_a_format_that_is_none_is_refused(api):
    response = api("GET", f"statements/{MONTH}?format=xml")
    assert (response.status_code, response.json()["error"]["metadata"]["param"]) == (400, "format")


def test_strangers_get_their_own_and_ordinary_keys_none(used, stranger_api, make_key):
    paper = json.loads(stranger_api("GET", f"statements/{MONTH}").content)
    assert (paper["movements"], paper["usage"]["requests"], paper["closing_nanos"]) == ([], 0, 0)
    plain = ApiClient(make_key(name="plain")[1])
    assert [plain("GET", path).status_code for path in ("statements", f"statements/{MONTH}")] == [403, 403]
