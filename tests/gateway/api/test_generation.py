from decimal import Decimal

import pytest
import uuid_utils

from accounts import api_keys
from billing.models import CreditLot
from billing.types import AttemptRecord, event_time, generation_id
from gateway.api.key_shapes import workspace_id
from gateway.drf import utc_text
from tests.factories.usage import book
from tests.gateway.api.client import ApiClient, exact

pytestmark = pytest.mark.django_db


def test_a_receipt_is_there_the_moment_after_the_request(make_key, spend, organization):
    api_key, secret = make_key(name="CI")
    event = spend(
        api_key,
        meters={
            "input_tokens": 60, "cache_read_tokens": 30, "image_input_tokens": 10,
            "output_tokens": 300, "reasoning_tokens": 15, "searches": 2,
        },
        finish_reason="stop", native_finish_reason="end_turn", streamed=True, upstream_id="msg_1", external_user="u-7", session_id="s-1",
        app_referer="https://app.example/", user_agent="curl/8", service_tier="priority",
        attempts=(
            AttemptRecord(endpoint_id="acme/swift@other", provider="other", status=503, latency_ms=12, reason="5xx"),
            AttemptRecord(endpoint_id="acme/swift@acme", provider="acme", status=200, latency_ms=240),
        ),
    )  # fmt: skip
    data = exact(ApiClient(secret)("GET", f"generation?id={generation_id(event.event_id)}"))["data"]
    tried = {"model_permaslug": "acme/swift", "is_byok": False}
    assert data == {
        "id": generation_id(event.event_id), "request_id": None, "upstream_id": "msg_1",
        "created_at": utc_text(event_time(event.event_id)), "api_type": "completions", "model": "acme/swift",
        "requested_model": "acme/swift", "provider_name": "Acme",
        "provider_responses": [
            {**tried, "endpoint_id": "acme/swift@other", "provider_name": "other", "status": 503, "latency": 12},
            {**tried, "endpoint_id": "acme/swift@acme", "provider_name": "Acme", "status": 200, "latency": 240},
        ],
        "status": "ok", "cancelled": False, "streamed": True, "finish_reason": "stop", "native_finish_reason": "end_turn",
        "error_type": None,
        "total_cost": Decimal("0.000214"), "usage": Decimal("0.000214"), "cache_discount": None, "is_byok": False,
        "upstream_inference_cost": None, "price_version_id": 0, "markup_basis_points": None, "booked": True,
        "paid_with": [{"credit": "promo_credit", "grant": str(CreditLot.objects.get().pk), "amount": Decimal("0.000214")}],
        "is_estimate": False, "simulated": False, "service_tier": "priority",
        "latency": 240, "generation_time": 1300, "moderation_latency": None, "app_id": None,
        "http_referer": "https://app.example/", "origin": "https://app.example/", "user_agent": "curl/8", "session_id": "s-1",
        "external_user": "u-7", "api_key_name": "CI", "workspace_id": workspace_id(organization), "data_region": "global",
        "preset_id": None, "router": None, "response_cache_source_id": None, "web_search_engine": None,
        "tokens_prompt": 100, "tokens_completion": 315, "native_tokens_prompt": 100, "native_tokens_completion": 315,
        "native_tokens_reasoning": 15, "native_tokens_cached": 30, "native_tokens_completion_images": 0,
        "num_media_prompt": None, "num_media_completion": None, "num_input_audio_prompt": None, "num_search_results": 2,
        "num_fetches": None,
    }  # fmt: skip


def test_any_key_of_the_organization_sees_it_and_no_stranger_does(api, stranger_api, make_key):
    event = book(make_key()[0])
    path = f"generation?id={generation_id(event.event_id)}"
    assert api("GET", path).status_code == 200
    assert ApiClient(make_key(name="other")[1])("GET", path).status_code == 200
    response = stranger_api("GET", path)
    assert response.status_code == 404
    assert response.json()["error"]["metadata"]["error_type"] == "not_found"


def test_a_receipt_goes_on_naming_a_deleted_key(api, make_key, owner):
    api_key, _ = make_key(name="retired")
    event = book(api_key)
    api_keys.delete(api_key=api_key, by=owner)
    assert api("GET", f"generation?id={generation_id(event.event_id)}").json()["data"]["api_key_name"] == "retired"


@pytest.mark.parametrize(
    "given", ["gen-1", "gen-", "nonsense", "gen-" + "0" * 32, "gen-" + "f" * 32, "gen-%00", "gen-3f2504e04f8941d39a0c0305e82c3301"]
)
def test_what_is_no_generation_is_not_found(api, given):
    assert api("GET", f"generation?id={given}").status_code == 404


def test_an_unknown_generation_is_not_found_and_a_missing_id_is_refused(api):
    assert api("GET", f"generation?id=gen-{uuid_utils.uuid7().hex}").status_code == 404
    for path in ("generation", "generation?id="):
        response = api("GET", path)
        assert (response.status_code, response.json()["error"]["metadata"]["param"]) == (400, "id")
