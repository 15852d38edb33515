import datetime as dt
from decimal import Decimal

import pytest

from billing.books import settlement
from gateway.api.key_shapes import next_reset, user_id, workspace_id
from tests.gateway.api.client import ApiClient, exact

pytestmark = pytest.mark.django_db


def test_a_key_sees_itself_with_every_field_exactly(make_key, organization, owner):
    api_key, secret = make_key(
        name="CI", limit_nanos=74_500_000_001, limit_reset="monthly", expires_at=dt.datetime(2030, 12, 31, 23, 59, 59, tzinfo=dt.UTC)
    )
    response = ApiClient(secret)("GET", "key")
    data = exact(response)["data"]
    now = dt.datetime.now(dt.UTC)
    budget = data["effective_budget"]
    assert response.status_code == 200
    assert data == {
        "label": api_key.label,
        "limit": Decimal("74.500000001"),
        "limit_remaining": Decimal("74.500000001"),
        "limit_reset": "monthly",
        "include_byok_in_limit": False,
        "usage": 0, "usage_daily": 0, "usage_weekly": 0, "usage_monthly": 0,
        "byok_usage": 0, "byok_usage_daily": 0, "byok_usage_weekly": 0, "byok_usage_monthly": 0,
        "expires_at": "2030-12-31T23:59:59.000Z",
        "creator_user_id": user_id(owner),
        "workspace_id": workspace_id(organization),
        "organization_id": organization.public_id,
        "is_free_tier": True,
        "is_management_key": False,
        "is_provisioning_key": False,
        "allowed_data_regions": ["global"],
        "budgets": [budget],
        "effective_budget": budget,
        "free_model_daily_requests": {"limit": -1, "remaining": -1, "used": 0},
        "rate_limit": {"requests": -1, "interval": "10s", "note": "This field is deprecated and safe to ignore."},
    }  # fmt: skip
    assert budget["scope"] == "key_limit"
    assert budget["remaining_usd"] == Decimal("74.500000001")
    assert dt.datetime.fromisoformat(budget["resets_at"]) == next_reset("monthly", now)


def test_the_old_path_and_the_management_key_work_too(api, make_key):
    assert ApiClient(make_key()[1])("GET", "auth/key").json()["data"]["is_management_key"] is False
    for path in ("key", "auth/key", "key/"):
        data = api("GET", path).json()["data"]
        assert (data["is_management_key"], data["is_provisioning_key"], data["limit"], data["budgets"]) == (True, True, None, [])


def test_usage_is_exact_the_moment_after_a_request_before_anything_is_booked(make_key, spend):
    api_key, secret = make_key(limit_nanos=1_000_000_000, limit_reset="weekly")
    spend(api_key, amount_picos=214_000_000)
    spend(api_key, amount_picos=1_000)
    data = exact(ApiClient(secret)("GET", "key"))["data"]
    spent = Decimal("0.000214001")
    assert [data[name] for name in ("usage", "usage_daily", "usage_weekly", "usage_monthly")] == [spent] * 4
    assert data["limit_remaining"] == 1 - spent
    assert data["effective_budget"]["spend_usd"] == spent
    assert data["is_free_tier"] is False


def test_credits_are_exact_before_and_after_booking(api, make_key, spend, funded):
    api_key, _ = make_key()
    spend(api_key, amount_picos=214_000_000)
    expected = {"total_credits": Decimal(25), "total_usage": Decimal("0.000214")}
    assert exact(api("GET", "credits"))["data"] == expected
    settlement.settle_shard(shard=funded.shard)
    assert exact(api("GET", "credits"))["data"] == expected


@pytest.mark.usefixtures("funded")
def test_credits_belong_to_management_keys_and_to_one_organization(api, stranger_api, make_key):
    response = ApiClient(make_key()[1])("GET", "credits")
    assert response.status_code == 403
    assert response.json()["error"]["message"] == "Only management keys can perform this operation"
    assert exact(stranger_api("GET", "credits"))["data"] == {"total_credits": 0, "total_usage": 0}
    assert exact(api("GET", "credits"))["data"] == {"total_credits": 25, "total_usage": 0}


@pytest.mark.parametrize(
    ("reset", "now", "expected"),
    [
        ("", "2026-11-25T12:00", None),
        ("daily", "2026-12-31T23:59", "2027-01-01T00:00"),
        ("weekly", "2026-11-25T12:00", "2026-11-30T00:00"),
        ("weekly", "2026-11-30T00:00", "2026-12-07T00:00"),
        ("monthly", "2026-11-25T12:00", "2026-12-01T00:00"),
        ("monthly", "2026-12-31T12:00", "2027-01-01T00:00"),
        ("monthly", "2027-01-31T12:00", "2027-02-01T00:00"),
    ],
)
def test_a_limit_resets_at_the_next_boundary_in_utc(reset, now, expected):
    found = next_reset(reset, dt.datetime.fromisoformat(now).replace(tzinfo=dt.UTC))
    assert found == (None if expected is None else dt.datetime.fromisoformat(expected).replace(tzinfo=dt.UTC))
