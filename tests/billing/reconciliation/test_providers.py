"""Bills beside the books: within the tolerance, beyond it, missing; asked of real servers that speak the providers' cost APIs."""

import datetime as dt
import json
import threading
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse

from accounts.permissions import NotPermitted
from billing.books import settlement
from billing.models import Account, ReconciliationLine, SuspenseItem
from billing.money import NANOS_PER_USD
from billing.reconciliation import invariants, provider_apis, providers, suspense
from billing.reconciliation.bills import Charge
from billing.reconciliation.provider_apis import BillUnavailable, NoCredential
from tests.billing import plane
from tests.billing.conftest import USD

DAY = dt.date(2026, 11, 20)
NOON = dt.datetime(2026, 11, 20, 12, tzinfo=dt.UTC)
COST_USD = 1_000


@pytest.fixture
def used(make_organization):
    """Return an organization whose requests cost us $1,000 at Acme on the day."""
    organization = make_organization(5_000 * USD)
    event = plane.make_event(
        organization, 1_200 * USD, cost_nanos=COST_USD * USD, event_id=plane.id_at(NOON), provider="openai", model="openai/gpt-4o-mini"
    )
    plane.settle(event, late=True)
    settlement.settle_shard(shard=7)
    return organization


@pytest.fixture(autouse=True)
def _today(monkeypatch):
    """Let the arrivals of the day be in time whatever the calendar says."""
    monkeypatch.setattr("billing.books.arrivals.DAYS_BACK", 100_000)
    monkeypatch.setattr("billing.books.arrivals.DAYS_AHEAD", 100_000)


def _bill(usd, model="gpt-4o-mini-2024-07-18", day=DAY):
    return providers.reconcile_charges(provider="openai", charges=[Charge(day, model, Decimal(usd))], way="csv", by=None, days=(DAY, DAY))


def _off():
    return [(item.subject, item.off_nanos) for item in SuspenseItem.objects.filter(closed_at=None)]


@pytest.mark.parametrize(("usd", "is_off"), [("1000", False), ("1000.50", False), ("999.10", False), ("1001.01", True), ("1020", True)])
def test_half_a_thousandth_is_tolerated_and_two_per_cent_wait_for_an_explanation(used, usd, is_off):
    made = _bill(usd)

    assert made.off_count == int(is_off)
    assert bool(_off()) == is_off
    assert [one.invariant for one in invariants.bills_agree()] == (["I10"] if is_off else [])
    line = ReconciliationLine.objects.get()
    assert (line.model, line.booked_nanos, line.billed_nanos) == (
        "openai/gpt-4o-mini", COST_USD * USD, int(Decimal(usd) * NANOS_PER_USD),
    )  # fmt: skip


def test_a_day_that_the_bill_leaves_out_and_a_model_that_we_never_called_are_named(used):
    _bill("5", model="dall-e-3")

    assert _off() == [("dall-e-3 on 2026-11-20", 5 * USD), ("openai/gpt-4o-mini on 2026-11-20", -COST_USD * USD)]


def test_a_corrected_bill_closes_the_item(used):
    _bill("1020")
    _bill("1000.02")

    assert _off() == []
    assert SuspenseItem.objects.get().closed_by == "system"


def test_an_operator_lets_the_books_follow_the_bill_and_the_next_comparison_agrees(used, operator, stranger):
    _bill("1020")
    [item] = SuspenseItem.objects.all()
    with pytest.raises(NotPermitted):
        suspense.accept(item_id=item.pk, by=stranger)

    suspense.accept(item_id=item.pk, by=operator)
    with pytest.raises(suspense.NothingOpen):
        suspense.accept(item_id=item.pk, by=operator)

    assert sum(account.balance_nanos for account in Account.objects.filter(code=2030)) == 1_020 * USD
    assert _bill("1020").off_count == 0
    assert _off() == []


# --- cost APIs ---


class _Costs(BaseHTTPRequestHandler):
    """Answers as the four providers document it, in two pages where they have pages."""

    seen: list[tuple[str, dict, dict]] = []  # noqa: RUF012 -- of the test at hand
    status = 200

    def _send(self, body):
        data = json.dumps(body).encode()
        self.send_response(self.status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self):
        address = urlsplit(self.path)
        query = parse_qs(address.query)
        self.seen.append((address.path, query, dict(self.headers)))
        is_first = "page" not in query
        page = {"has_more": is_first, "next_page": "two" if is_first else None}
        if address.path == "/v1/organization/costs":
            cost = {"amount": {"value": 500.01, "currency": "usd"}, "line_item": "gpt-4o-mini-2024-07-18, input"}
            self._send({"object": "page", "data": [{"start_time": 1795132800, "results": [cost]}], **page})
        elif address.path == "/v1/organizations/cost_report":
            cost = {"amount": "50001", "currency": "USD", "model": "gpt-4o-mini", "description": "tokens"}
            self._send({"data": [{"starting_at": "2026-11-20T00:00:00Z", "results": [cost]}], **page})
        elif address.path == "/api/v1/activity":
            self._send({"data": [{"date": query["date"][0], "model": "openai/gpt-4o-mini", "usage": 1000.02, "requests": 1}]})
        else:
            self._send({"jobComplete": True, "rows": [{"f": [{"v": "2026-11-20"}, {"v": "gpt-4o-mini"}, {"v": "500.01"}]}]})

    def do_POST(self):
        self.seen.append((self.path, json.loads(self.rfile.read(int(self.headers["Content-Length"]))), dict(self.headers)))
        row = {"f": [{"v": "2026-11-20"}, {"v": "gpt-4o-mini"}, {"v": "500.01"}]}
        self._send({"jobComplete": True, "jobReference": {"jobId": "j1"}, "pageToken": "two", "rows": [row]})

    def log_message(self, *_):
        pass


@pytest.fixture
def costs(settings):
    """Run the cost APIs; every provider's key is set and points there."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Costs)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    settings.PROVIDER_COSTS = {
        name: {"url": url, "key": "admin-key", "extra": "proj/proj.billing.export"} for name in provider_apis.READERS
    }
    _Costs.seen, _Costs.status = [], 200
    yield _Costs
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("provider", provider_apis.READERS)
def test_each_cost_api_is_read_to_its_last_page_as_exact_decimals(costs, provider):
    charges = provider_apis.read_charges(provider, since=DAY, until=DAY)

    assert sum(charge.usd for charge in charges) == Decimal("1000.02")
    assert {charge.day for charge in charges} == {DAY}
    assert "admin-key" in str(costs.seen[0][2])
    assert "admin-key" not in str([seen[:2] for seen in costs.seen])


def test_a_comparison_by_api_covers_the_last_full_days(used, costs):
    made = providers.reconcile_by_api(provider="openai", today=DAY + dt.timedelta(days=1))

    assert (made.since, made.until, made.way) == (DAY - dt.timedelta(days=2), DAY, "api")
    assert (made.booked_nanos, made.billed_nanos, made.off_count) == (COST_USD * USD, 100_002 * USD // 100, 0)


def test_a_provider_that_refuses_is_told_without_its_key_and_stops_no_other(costs, caplog):
    costs.status = 403

    with pytest.raises(BillUnavailable, match=r"^openai answers 403"):
        provider_apis.read_charges("openai", since=DAY, until=DAY)
    assert providers.reconcile_all() == 0
    assert "anthropic answers 403" in caplog.text
    assert "admin-key" not in caplog.text


def test_without_a_key_nobody_is_asked(settings):
    settings.PROVIDER_COSTS = {}

    assert provider_apis.configured() == []
    with pytest.raises(NoCredential):
        provider_apis.read_charges("openai", since=DAY, until=DAY)


# --- the command and the page ---


def test_the_command_compares_a_file_and_fails_on_a_difference(used, tmp_path, capsys):
    path = tmp_path / "bill.csv"
    path.write_text("Date,SKU,Cost\n2026-11-20,gpt-4o-mini,1000\n")
    call_command("reconcile", "openai", csv=path, columns="day=Date,model=SKU,amount=Cost")
    assert "booked $1000, billed $1000, 0 of 1 lines off" in capsys.readouterr().out

    path.write_text("Date,SKU,Cost\n2026-11-20,gpt-4o-mini,1200\n")
    with pytest.raises(CommandError, match="/operator/reconciliation"):
        call_command("reconcile", "openai", csv=path, columns="day=Date,model=SKU,amount=Cost")
    with pytest.raises(CommandError, match="no columns are known for acme"):
        call_command("reconcile", "acme", csv=path)


def test_an_operator_sends_a_bill_sees_the_drift_and_lets_the_books_follow_it(used, operator, tmp_path):
    client = Client()
    client.force_login(operator)
    address = reverse("operator_reconciliation")
    path = tmp_path / "bill.csv"
    path.write_text("start_time_iso,line_item,amount_value\n2026-11-20T00:00:00+00:00,gpt-4o-mini,1020\n")

    with path.open("rb") as file:
        answer = client.post(address, {"provider": "openai", "preset": "openai", "file": file}, follow=True)
    page = answer.content.decode()
    assert "1 lines of openai compared, 1 off" in page
    assert "gpt-4o-mini on 2026-11-20" in page
    assert '<path class="plot-line plot-1"' in page or "plot" not in page

    client.post(reverse("accept_item", args=[SuspenseItem.objects.get().pk]))
    assert "Everything is explained" in client.get(address).content.decode()


def test_a_file_that_is_no_bill_is_refused_with_its_place_and_compares_nothing(used, operator, tmp_path):
    client = Client()
    client.force_login(operator)
    path = tmp_path / "bill.csv"
    path.write_bytes(b"start_time_iso,line_item,amount_value\n2026-11-20,gpt-4o-mini,much\n")

    with path.open("rb") as file:
        answer = client.post(reverse("operator_reconciliation"), {"provider": "openai", "preset": "openai", "file": file})

    assert answer.status_code == 400
    assert "line 2: &#x27;much&#x27; is not an amount" in answer.content.decode()
    assert ReconciliationLine.objects.count() == 0


@pytest.mark.parametrize("name", ["operator_reconciliation", "compare_now"])
def test_nobody_else_sees_or_starts_a_comparison(used, name):
    client = Client()
    client.force_login(used.memberships.get().user)

    assert client.post(reverse(name)).status_code == 404
