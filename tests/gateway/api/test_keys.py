import datetime as dt
from decimal import Decimal

import pytest

from accounts import api_keys, key_format, queries
from accounts.models import ApiKey
from gateway.api import keys
from gateway.api.key_shapes import user_id, workspace_id
from tests.gateway.api.client import ApiClient, exact

pytestmark = pytest.mark.django_db

DATA_FIELDS = {
    "hash", "name", "label", "disabled", "created_at", "updated_at", "last_used_at", "external_user", "limit", "limit_remaining",
    "limit_reset", "include_byok_in_limit", "usage", "usage_daily", "usage_weekly", "usage_monthly", "byok_usage", "byok_usage_daily",
    "byok_usage_weekly", "byok_usage_monthly", "expires_at", "creator_user_id", "workspace_id",
}  # fmt: skip


def test_a_key_is_made_with_everything_that_was_asked_and_its_secret_is_shown_once(api, organization, owner, management_key):
    response = api(
        "POST",
        "keys",
        {
            "name": "CI", "limit": 0.1, "limit_reset": "daily", "include_byok_in_limit": True, "expires_at": "2031-01-01T00:00:00+02:00",
            "external": {"user": "end-user-7"}, "workspace_id": workspace_id(organization), "creator_user_id": user_id(owner),
        },
    )  # fmt: skip
    assert response.status_code == 201
    body = exact(response)
    secret, data = body["key"], body["data"]
    assert set(data) == DATA_FIELDS
    assert key_format.is_well_formed(secret)
    assert data["hash"] == key_format.hash_secret(secret)
    assert (data["limit"], data["limit_remaining"], data["limit_reset"]) == (Decimal("0.1"), Decimal("0.1"), "daily")
    assert (data["expires_at"], data["external_user"], data["include_byok_in_limit"]) == ("2030-12-31T22:00:00.000Z", "end-user-7", True)
    assert (data["creator_user_id"], data["updated_at"], data["last_used_at"], data["disabled"]) == (user_id(owner), None, None, False)
    assert ApiKey.objects.get(hash=data["hash"]).limit_nanos == 100_000_000
    assert secret not in api("GET", f"keys/{data['hash']}").content.decode()
    assert ApiClient(secret)("GET", "key").status_code == 200
    assert management_key[0].organization_id == organization.pk


@pytest.mark.parametrize(
    ("limit", "nanos"),
    [
        ("0", 0),
        ("1e-9", 1),
        ("0.000000001", 1),
        ("0.1", 100_000_000),
        ("9223372036.854775807", 2**63 - 1),
        ("5", 5_000_000_000),
        ("null", None),
    ],
)
def test_a_limit_is_stored_and_told_to_the_nano(api, limit, nanos):
    response = api("POST", "keys", raw=f'{{"name": "k", "limit": {limit}}}'.encode())
    data = exact(response)["data"]
    assert ApiKey.objects.get(hash=data["hash"]).limit_nanos == nanos
    assert data["limit"] == (None if nanos is None else Decimal(limit))


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ('{"limit": 1}', "name"),
        ('{"name": 7}', "name"),
        ('{"name": ""}', "name"),
        ('{"name": "%s"}' % ("x" * 201), "name"),
        ('{"name": "a\\u0000b"}', "name"),
        ('{"name": "k", "limit": -0.5}', "limit"),
        ('{"name": "k", "limit": "5"}', "limit"),
        ('{"name": "k", "limit": true}', "limit"),
        ('{"name": "k", "limit": 0.0000000001}', "limit"),
        ('{"name": "k", "limit": 1.00000000000000000000000000000000000001}', "limit"),
        ('{"name": "k", "limit": 1e999999}', "limit"),
        ('{"name": "k", "limit": 9223372036.854775808}', "limit"),
        ('{"name": "k", "limit_reset": "hourly"}', "limit_reset"),
        ('{"name": "k", "limit_reset": []}', "limit_reset"),
        ('{"name": "k", "disabled": "yes"}', "disabled"),
        ('{"name": "k", "include_byok_in_limit": 1}', "include_byok_in_limit"),
        ('{"name": "k", "expires_at": "tomorrow"}', "expires_at"),
        ('{"name": "k", "expires_at": "2031-01-01T00:00:00"}', "expires_at"),
        ('{"name": "k", "expires_at": "2020-01-01T00:00:00Z"}', "expires_at"),
        ('{"name": "k", "expires_at": 1900000000}', "expires_at"),
        ('{"name": "k", "external": "u"}', "external"),
        ('{"name": "k", "external": {}}', "user"),
        ('{"name": "k", "external": {"user": "u", "api_key": "x"}}', "external.api_key"),
        ('{"name": "k", "creator_user_id": "user_999999999"}', "creator_user_id"),
        ('{"name": "k", "creator_user_id": 5}', "creator_user_id"),
    ],
)
def test_a_wrong_value_is_refused_by_name_and_nothing_is_made(api, body, param):
    before = ApiKey.objects.count()
    response = api("POST", "keys", raw=body.encode())
    assert response.status_code == 400
    error = response.json()["error"]
    assert (error["code"], error["metadata"]["param"], error["metadata"]["error_type"]) == (400, param, "invalid_request")
    assert ApiKey.objects.count() == before


def test_the_list_is_newest_first_without_management_disabled_expired_and_deleted_keys(api, make_key, owner):
    shown = [make_key(name=f"k{n}")[0].hash for n in range(3)]
    disabled = make_key(name="off", disabled=True)[0]
    expired = make_key(name="old", expires_at=dt.datetime(2020, 1, 2, tzinfo=dt.UTC), now=dt.datetime(2020, 1, 1, tzinfo=dt.UTC))[0]
    deleted = make_key(name="gone")[0]
    api_keys.delete(api_key=deleted, by=owner)

    def listed(query=""):
        response = api("GET", f"keys{query}")
        assert response.status_code == 200
        assert all(set(data) == DATA_FIELDS for data in response.json()["data"])
        return [data["hash"] for data in response.json()["data"]]

    assert listed() == shown[::-1]
    assert listed("?offset=1") == shown[1::-1]
    assert listed("?offset=100") == []
    assert listed("?include_disabled=true") == [disabled.hash, *shown[::-1]]
    assert listed("?include_disabled=true&include_expired=true") == [expired.hash, disabled.hash, *shown[::-1]]


def test_a_long_list_comes_in_pages_that_do_not_overlap(api, make_key, monkeypatch):
    monkeypatch.setattr(keys, "PAGE_SIZE", 2)
    made = {make_key(name=f"k{n}")[0].hash for n in range(5)}
    pages = [[data["hash"] for data in api("GET", f"keys?offset={offset}").json()["data"]] for offset in (0, 2, 4)]
    assert [len(page) for page in pages] == [2, 2, 1]
    assert {key_hash for page in pages for key_hash in page} == made


@pytest.mark.parametrize("query", ["offset=-1", "offset=x", "offset=99999999999999999999999", "include_disabled=maybe"])
def test_a_wrong_query_is_refused(api, query):
    assert api("GET", f"keys?{query}").status_code == 400


def test_another_workspace_is_not_found(api, organization, make_key):
    key_hash = make_key()[0].hash
    other = "0df9e665-d932-5740-b2c7-b52af166bc11"
    assert api("GET", f"keys?workspace_id={other}").status_code == 404
    assert api("POST", "keys", {"name": "k", "workspace_id": other}).status_code == 404
    assert api("PATCH", f"keys/{key_hash}", {"workspace_id": other}).status_code == 404
    assert [data["hash"] for data in api("GET", f"keys?workspace_id={workspace_id(organization)}").json()["data"]] == [key_hash]


def test_patch_changes_what_it_names_and_nothing_else(api, make_key):
    made, _ = make_key(name="before", limit_nanos=5_000_000_000, limit_reset="weekly", external_user="u")
    changed = exact(api("PATCH", f"keys/{made.hash}", {"name": "after", "disabled": True}))["data"]
    assert (changed["name"], changed["disabled"], changed["limit"], changed["limit_reset"], changed["external_user"]) == (
        "after", True, 5, "weekly", "u",
    )  # fmt: skip
    assert changed["updated_at"] is not None
    unlimited = exact(api("PATCH", f"keys/{made.hash}", {"limit": None, "limit_reset": None}))["data"]
    assert (unlimited["limit"], unlimited["limit_remaining"], unlimited["limit_reset"], unlimited["name"]) == (None, None, None, "after")
    assert ApiKey.objects.get(pk=made.pk).version == 3
    assert api("PATCH", f"keys/{made.hash}", {}).status_code == 200
    assert ApiKey.objects.get(pk=made.pk).version == 3


def test_a_limit_set_below_what_is_spent_leaves_nothing_not_less(api, make_key, spend):
    made, _ = make_key(limit_nanos=1_000_000_000)
    spend(made, amount_picos=214_000_000)
    data = exact(api("PATCH", f"keys/{made.hash}", {"limit": 0.0001}))["data"]
    assert (data["usage"], data["limit_remaining"]) == (Decimal("0.000214"), 0)
    raised = exact(api("PATCH", f"keys/{made.hash}", {"limit": 0.001}))["data"]
    assert raised["limit_remaining"] == Decimal("0.000786")


def test_a_deleted_key_is_gone_for_the_api_and_for_its_bearer(api, make_key, organization):
    made, secret = make_key(name="short-lived")
    response = api("DELETE", f"keys/{made.hash}")
    assert (response.status_code, response.json()) == (200, {"deleted": True})
    for method, body in (("GET", None), ("PATCH", {"name": "x"}), ("DELETE", None)):
        assert api(method, f"keys/{made.hash}", body).status_code == 404
    refused = ApiClient(secret)("GET", "key")
    assert (refused.status_code, refused.json()["error"]["message"]) == (401, "User not found.")
    assert queries.key_names(organization, [made.pk]) == {made.pk: "short-lived"}


def test_a_management_key_cannot_see_or_touch_its_own_kind(api, management_key, make_key):
    other, _ = make_key(name="second", is_management=True)
    for key_hash in (management_key[0].hash, other.hash):
        for method, body in (("GET", None), ("PATCH", {"disabled": True}), ("DELETE", None)):
            assert api(method, f"keys/{key_hash}", body).status_code == 404
    assert api("GET", "keys").json()["data"] == []
    assert not ApiKey.objects.get(pk=other.pk).disabled


def test_a_stranger_finds_and_changes_nothing(stranger_api, make_key, owner):
    made, _ = make_key(name="ours")
    for method, body in (("GET", None), ("PATCH", {"name": "theirs"}), ("DELETE", None)):
        response = stranger_api(method, f"keys/{made.hash}", body)
        assert (response.status_code, response.json()["error"]["message"]) == (404, "API key not found")
    assert stranger_api("GET", "keys?include_disabled=true").json()["data"] == []
    assert stranger_api("POST", "keys", {"name": "k", "creator_user_id": user_id(owner)}).status_code == 400
    stored = ApiKey.objects.get(pk=made.pk)
    assert (stored.name, stored.deleted_at, stored.version) == ("ours", None, 1)


def test_a_key_for_models_manages_nothing(make_key):
    made, secret = make_key()
    client = ApiClient(secret)
    for method, path, body in (
        ("GET", "keys", None), ("POST", "keys", {"name": "k"}), ("GET", f"keys/{made.hash}", None),
        ("PATCH", f"keys/{made.hash}", {"limit": None}), ("DELETE", f"keys/{made.hash}", None), ("GET", "credits", None),
    ):  # fmt: skip
        response = client(method, path, body)
        assert response.status_code == 403
        assert response.json()["error"]["message"] == "Only management keys can perform this operation"


@pytest.mark.parametrize("key_hash", ["x", "0" * 63, "0" * 64, "F" * 64, "%00" * 64, "..%2f..", "ж"])
def test_what_is_no_hash_of_ours_is_not_found(api, key_hash):
    assert api("GET", f"keys/{key_hash}").status_code == 404
