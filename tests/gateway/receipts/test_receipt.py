"""Receipts as signed papers, checked by the script that customers have."""

import json
import re
from pathlib import Path

import pytest
from django.test import Client

from accounts.models import ApiKey
from billing.books import transfers
from billing.models import CreditLot
from billing.receipts import signing
from billing.types import AttemptRecord, generation_id
from gateway.receipts import explanation
from tests.factories.usage import book, make_event
from tests.gateway.api.client import ApiClient
from tests.gateway.receipts.conftest import load_script

pytestmark = pytest.mark.django_db

METERS = {"input_tokens": 1_000, "cache_read_tokens": 7, "output_tokens": 315, "reasoning_tokens": 3, "requests": 1, "searches": 2}


def charge_of(price, event) -> dict[str, int]:
    cost = explanation.explain(event, explanation.read_price(price))
    return {"amount_picos": cost.picos, "amount_nanos": cost.nanos}


def book_priced(api_key: ApiKey, price, **fields):
    event = make_event(api_key, price_version_id=price.pk, **{"meters": METERS, **fields})
    return book(api_key, **{"price_version_id": price.pk, "meters": METERS, **fields, **charge_of(price, event), "event_id": event.event_id,
                            "started_at_ms": event.started_at_ms})  # fmt: skip


@pytest.fixture
def paper(make_key, price) -> bytes:
    api_key, secret = make_key()
    attempts = (
        AttemptRecord(endpoint_id="acme/swift@other", provider="other", status=503, latency_ms=12, reason="5xx"),
        AttemptRecord(endpoint_id="acme/swift@acme", provider="acme", status=200, latency_ms=240),
    )
    event = book_priced(api_key, price, attempts=attempts, external_user="Zoë", cost_nanos=12_345_678)
    return ApiClient(secret)("GET", f"receipts/{generation_id(event.event_id)}").content


def test_a_receipt_says_what_was_counted_charged_and_tried(paper, price, organization):
    found = json.loads(paper)
    assert found["kind"] == "tollway.receipt/1"
    assert found["organization"] == organization.public_id
    assert found["price"]["version"] == price.pk
    assert found["price"]["markup_basis_points"] == 500
    # 1,007 prompt tokens are above the threshold; reasoning is priced as output; searches as at this hour.
    assert found["lines"] == [
        {"meter": "input_tokens", "count": 1_000, "rate_picos": 500_003, "picos": 500_003_000},
        {"meter": "cache_read_tokens", "count": 7, "rate_picos": 25_001, "picos": 175_007},
        {"meter": "output_tokens", "count": 315, "rate_picos": 600_007, "picos": 189_002_205},
        {"meter": "reasoning_tokens", "count": 3, "rate_picos": 600_007, "picos": 1_800_021},
        {"meter": "requests", "count": 1, "rate_picos": 333, "picos": 333},
        {"meter": "searches", "count": 2, "rate_picos": 9_000_000_001, "picos": 18_000_000_002},
    ]
    assert (found["rule"], found["amount_picos"], found["amount_nanos"]) == ("metered", 18_690_980_568, 18_690_981)
    assert found["paid_with"] == [{"credit": "credit", "grant": None, "amount_nanos": 18_690_981}]
    assert [(one["provider"], one["outcome"]) for one in found["attempts"]] == [("other", "5xx"), ("acme", "answered")]


def test_the_script_recomputes_a_receipt(paper, verify):
    told = verify(paper)
    assert (told.returncode, told.stderr) == (0, "")
    assert re.fullmatch(r"OK .*: \$0\.018690981, recomputed from 6 lines of price version \d+\n", told.stdout)


def test_the_script_refuses_every_change_of_one_byte(paper, keys_file, tmp_path):
    check = load_script()
    keys, revoked = check.read_keys(str(keys_file))
    path = tmp_path / "paper"
    path.write_bytes(paper)
    assert check.check(path, keys, revoked).startswith("receipt gen-")
    for place in range(len(paper)):
        path.write_bytes(paper[:place] + bytes([paper[place] ^ 0x01]) + paper[place + 1 :])
        with pytest.raises(check.Refused):
            check.check(path, keys, revoked)


@pytest.mark.parametrize(
    "change",
    [
        lambda paper: paper + b"\n",
        lambda paper: paper[:-1],
        lambda paper: paper[:0],
        lambda paper: b"[" + paper + b"]",
        lambda paper: json.dumps(json.loads(paper), indent=1).encode(),
        lambda paper: re.sub(rb'"value":"[0-9a-f]+"', lambda found: found[0].upper().replace(b"VALUE", b"value"), paper),
        lambda paper: b"PK\x03\x04" + paper,
    ],
)
def test_the_script_refuses_what_is_longer_shorter_reformatted_or_no_paper(paper, verify, change):
    told = verify(change(paper))
    assert (told.returncode, told.stdout[:8], told.stderr) == (1, "REFUSED ", "")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"amount_nanos": 18_690_980}, "charge in nanos"),
        ({"amount_picos": 18_690_980_569}, "charge in picos"),
        ({"meters": {**METERS, "output_tokens": 314}}, "lines"),
        ({"service_tier": "flex"}, "lines"),
        ({"rule": "waived"}, "free of charge"),
        ({"rule": "whatever"}, "no rule"),
        ({"paid_with": []}, "credits that paid"),
        ({"kind": "tollway.poem/1"}, "no kind of paper"),
    ],
)
def test_a_wrong_charge_is_refused_even_when_we_signed_it(paper, verify, change, reason):
    document = {**json.loads(paper), **change}
    del document["signature"]
    told = verify(signing.sign(document))
    assert told.returncode == 1
    assert reason in told.stdout


def test_a_signature_of_another_key_is_refused(paper, verify, tmp_path):
    other = tmp_path / "other.json"
    signing.rotate()
    key = signing.published_keys()[0]
    other.write_text(json.dumps({"keys": [{"kid": key.key_id, "crv": "Ed25519", "x": signing.base64url(key.public_key)}]}))
    assert "not among the published keys" in verify(paper, keys=other).stdout


def test_a_paper_of_a_retired_key_holds_and_one_of_a_revoked_key_is_refused_and_signed_anew(paper, verify, tmp_path, make_key):
    def saved() -> Path:
        path = tmp_path / "now.json"
        path.write_bytes(Client().get("/.well-known/jwks.json").content)
        return path

    signing.rotate()
    assert verify(paper, keys=saved()).returncode == 0
    secret = make_key(name="again")[1]
    again = ApiClient(secret)("GET", f"receipts/{json.loads(paper)['id']}").content
    signing.rotate(revoke=True)
    told = verify(paper, again, ApiClient(secret)("GET", f"receipts/{json.loads(paper)['id']}").content, keys=saved())
    assert [line[:7] for line in told.stdout.splitlines()] == ["OK     ", "REFUSED", "OK     "]
    assert "was revoked" in told.stdout


def test_any_key_of_the_organization_reads_it_and_no_stranger_does(api, stranger_api, make_key, price):
    event = book_priced(make_key()[0], price)
    path = f"receipts/{generation_id(event.event_id)}"
    assert [client("GET", path).status_code for client in (api, ApiClient(make_key(name="b")[1]), stranger_api, ApiClient(""))] == [
        200,
        200,
        404,
        401,
    ]


@pytest.mark.parametrize("given", ["gen-1", "nonsense", "gen-" + "f" * 32, "gen-01a228148f31724b89ee5c8aee70cb36"])
def test_what_is_no_generation_is_not_found(api, given):
    assert api("GET", f"receipts/{given}").status_code == 404


def test_what_the_provider_charges_is_on_no_paper_and_in_no_answer(paper, api):
    name = json.loads(paper)["id"]
    answer = api("GET", f"generation?id={name}").content
    assert [word in text for word in (b"cost_nanos", b"12345678", b"cost_card", b"0.012345678") for text in (paper, answer)] == [False] * 8


def test_a_request_free_of_charge_and_one_whose_server_died_say_so(make_key, price, verify):
    api_key, secret = make_key()
    free = book(api_key, price_version_id=price.pk, status="error", amount_picos=0)
    lost = book(api_key, price_version_id=price.pk, status="expired", amount_picos=5_000, meters={})
    unknown = book(api_key, price_version_id=0)
    papers = [ApiClient(secret)("GET", f"receipts/{generation_id(event.event_id)}").content for event in (free, lost, unknown)]
    assert [json.loads(paper)["rule"] for paper in papers] == ["waived", "last_report", "unexplained"]
    told = verify(*papers).stdout.splitlines()
    assert [line.rsplit(", ")[-1][:28] for line in told] == [
        "free of charge",
        "charged as last reported by ",
        "the price version is not on t"[:28],
    ]


def test_promo_credit_pays_from_the_front_of_a_batch_and_the_shares_are_the_transfers(make_key, organization, spend, funded):
    transfers.grant(organization=organization, amount_nanos=1, reason="", idempotency_key="plain", by=None, promo=False)
    api_key, secret = make_key()
    # $25 of promo credit, $18 each: the second is paid by both.
    names = [generation_id(spend(api_key, amount_picos=15_000_000_000_000, hold_nanos=1).event_id) for _ in range(2)]
    papers = [json.loads(ApiClient(secret)("GET", f"receipts/{name}").content)["paid_with"] for name in names]
    lot = str(CreditLot.objects.get().pk)
    assert papers == [
        [{"credit": "promo_credit", "grant": lot, "amount_nanos": 15_000_000_000}],
        [
            {"credit": "promo_credit", "grant": lot, "amount_nanos": 10_000_000_000},
            {"credit": "credit", "grant": None, "amount_nanos": 5_000_000_000},
        ],
    ]
