"""Exports of usage: every format, recomputed by the script to the charged sum, refused after any change."""

import csv
import datetime as dt
import hashlib
import io
import json
import zipfile

import pytest
from arro3.io import read_parquet

from billing.models import Transfer, UsageEvent
from billing.receipts import signing, usage_rows
from gateway.receipts.export import Export
from gateway.receipts.usage_table import COLUMNS, FORMATS
from tests.factories.usage import book
from tests.gateway.api.client import ApiClient
from tests.gateway.receipts.conftest import body_of, load_script
from tests.gateway.receipts.test_receipt import book_priced

pytestmark = pytest.mark.django_db

TODAY = dt.datetime.now(tz=dt.UTC).date()
PATH = f"exports/usage?from={TODAY - dt.timedelta(days=1)}&to={TODAY}"


@pytest.fixture
def history(make_key, price):
    """Book a few requests of every kind of rule, with names that spreadsheets would run."""
    api_key, _ = make_key(name="=cmd()")
    for tokens in (1, 999, 1_000, 123_456):
        book_priced(api_key, price, meters={"input_tokens": tokens, "output_tokens": 7, "requests": 1}, external_user="=HYPERLINK(1)")
    book_priced(api_key, price, service_tier="flex", requested_model='a,"b"\nc')
    book(api_key, price_version_id=price.pk, status="error", amount_picos=0)
    lost = book(api_key, price_version_id=price.pk, status="expired", amount_picos=5_000, meters={})
    book_priced(api_key, price, event_id=lost.event_id)
    book(api_key, price_version_id=price.pk, status="expired", amount_picos=7_000, meters={})
    return UsageEvent.objects.count()


def archive_of(api, file_format: str) -> bytes:
    response = api("GET", f"{PATH}&format={file_format}")
    assert (response.status_code, response["Content-Type"], response.streaming) == (200, "application/zip", True)
    return body_of(response)


@pytest.mark.parametrize("file_format", FORMATS)
def test_the_script_recomputes_every_row_to_what_was_posted(api, history, verify, organization, file_format):
    archive = archive_of(api, file_format)
    told = verify(archive)
    assert (told.returncode, told.stderr) == (0, "")
    posted = sum(
        one.amount_nanos * (1 if one.code == 10 else -1) for one in Transfer.objects.filter(org_id=organization.pk, batch_id__gt=0)
    )
    paper = json.loads(zipfile.ZipFile(io.BytesIO(archive)).comment)
    assert (paper["rows"], paper["amount_nanos"]) == (history, posted)
    assert paper["by_rule"] == {"metered": 5, "waived": 1, "last_report": 2, "difference": 1}
    assert f"{history} rows, $0.{posted:09d}, recomputed row by row" in told.stdout


def test_all_formats_have_the_same_rows(api, history):
    archives = {one: zipfile.ZipFile(io.BytesIO(archive_of(api, one))) for one in FORMATS}
    rows = json.loads(archives["json"].read("usage.json"))
    [*batches] = read_parquet(io.BytesIO(archives["parquet"].read("usage.parquet")))
    parquet = [{name: batch[name][at].as_py() for name in batch.schema.names} for batch in batches for at in range(batch.num_rows)]
    assert parquet == rows
    assert [tuple(row) for row in rows] == [COLUMNS] * history
    cells = list(csv.DictReader(io.StringIO(archives["csv"].read("usage.csv").decode(), newline="")))
    assert [[row[name] for name in ("id", "requested_model")] for row in cells] == [
        [row[name] for name in ("id", "requested_model")] for row in rows
    ]
    assert [int(row["amount_picos"]) for row in cells] == [row["amount_picos"] for row in rows]
    assert {row["external_user"] for row in rows} == {"=HYPERLINK(1)", ""}
    # What a spreadsheet would run as a formula is text in CSV.
    assert {(row["external_user"], row["key_name"]) for row in cells} == {("'=HYPERLINK(1)", "'=cmd()"), ("", "'=cmd()")}


def test_nothing_of_the_providers_cost_is_in_it(api, make_key, price):
    book_priced(make_key()[0], price, cost_nanos=12_345_678)
    archive = zipfile.ZipFile(io.BytesIO(archive_of(api, "json")))
    text = b"".join(archive.read(name) for name in archive.namelist())
    assert [word in text for word in (b"12345678", b"cost")] == [False, False]


def test_the_script_refuses_every_change_of_one_byte(api, make_key, price, keys_file, tmp_path):
    book_priced(make_key()[0], price)
    archive = archive_of(api, "csv")
    check, path = load_script(), tmp_path / "export.zip"
    keys, revoked = check.read_keys(str(keys_file))
    path.write_bytes(archive)
    assert "recomputed row by row" in check.check(path, keys, revoked)
    for place in range(len(archive)):
        path.write_bytes(archive[:place] + bytes([archive[place] ^ 0x01]) + archive[place + 1 :])
        with pytest.raises(check.Refused):
            check.check(path, keys, revoked)


@pytest.mark.parametrize("change", [lambda archive: archive + b"\n", lambda archive: archive[:-1], lambda archive: b"PK" + archive])
def test_the_script_refuses_what_is_longer_or_shorter(api, history, verify, change):
    assert verify(change(archive_of(api, "csv"))).returncode == 1


def test_wrong_rows_are_refused_even_when_we_signed_them(api, make_key, price, verify):
    book(make_key()[0], price_version_id=price.pk, amount_picos=1_000, started_at_ms=0)
    archive = archive_of(api, "json")
    rules = json.loads(zipfile.ZipFile(io.BytesIO(archive)).comment)["by_rule"]
    assert rules == {"unexplained": 1}
    forged = _forge(archive, b'"rule":"unexplained"', b'"rule":"metered"')
    told = verify(forged)
    assert (told.returncode, "charge in picos" in told.stdout) == (1, True)


def _forge(archive: bytes, old: bytes, new: bytes) -> bytes:
    """Make the archive again with other rows, and sign it."""
    given, out = zipfile.ZipFile(io.BytesIO(archive)), io.BytesIO()
    paper = json.loads(given.comment)
    del paper["signature"]
    paper["by_rule"] = {"metered": 1}
    with zipfile.ZipFile(out, "w") as made:
        for name in given.namelist():
            made.writestr(name, given.read(name).replace(old, new))
        made.comment = signing.sign({**paper, "sha256": "0" * 64})
    size = len(made.comment)
    body = out.getvalue()[:-size]
    return body + signing.sign({**paper, "sha256": hashlib.sha256(body).hexdigest()})


def test_an_empty_export_holds_too(api, verify):
    for file_format in FORMATS:
        told = verify(archive_of(api, file_format))
        assert (told.returncode, "0 rows, $0.000000000" in told.stdout) == (0, True), told.stdout


def test_it_is_sent_while_it_is_made(organization, make_key, price, monkeypatch):
    monkeypatch.setattr(usage_rows, "PAGE_ROWS", 3)
    api_key = make_key()[0]
    for _ in range(7):
        book_priced(api_key, price)
    read = []
    pages = usage_rows.pages
    monkeypatch.setattr(usage_rows, "pages", lambda *args, **kwargs: (read.append(len(page)) or page for page in pages(*args, **kwargs)))
    since = dt.datetime.combine(TODAY, dt.time(), dt.UTC)
    stream = Export(organization, since=since, until=since + dt.timedelta(days=1), file_format="csv").stream()
    seen = [(next(stream), tuple(read))[1] for _ in range(4)]
    assert seen == [(), (), (3,), (3, 3)]
    stream.close()


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("", "from"), ("from=2026-11-01", "to"), ("from=x&to=2026-11-01", "from"), ("from=2026-11-01&to=2026-13-01", "to"),
        ("from=2026-11-02&to=2026-11-01", "to"), ("from=2025-01-01&to=2026-11-01", "to"), ("from=0001-01-01&to=0001-01-02", "from"),
        ("from=2026-11-01&to=2026-11-01&format=xlsx", "format"), ("from=2026-11-01T00:00&to=2026-11-01", "from"),
    ],
)  # fmt: skip
def test_bad_input_names_the_field(api, query, field):
    response = api("GET", f"exports/usage?{query}")
    assert (response.status_code, response.json()["error"]["metadata"]["param"]) == (400, field)


def test_strangers_get_their_own_and_ordinary_keys_none(history, stranger_api, make_key):
    archive = archive_of(stranger_api, "csv")
    assert json.loads(zipfile.ZipFile(io.BytesIO(archive)).comment)["rows"] == 0
    assert ApiClient(make_key(name="plain")[1])("GET", f"{PATH}&format=csv").status_code == 403
