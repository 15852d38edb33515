"""/api/v1/policies: saved, versioned, made the default, and tried on past requests first."""

import itertools

import pytest

from accounts import presets
from catalog.types import RateCard
from tests.factories import snapshots
from tests.factories.usage import book
from tests.gateway.api.client import ApiClient

DEAR = {"input_tokens": 500_000, "output_tokens": 1_200_000}
_versions = itertools.count(7_000)


def _open_market(own_prices=None):
    snapshots.publish(
        models=[snapshots.make_model("acme/swift", endpoints=("acme/swift@acme", "acme/swift@best"))],
        endpoints=[snapshots.make_endpoint("acme/swift@acme"), snapshots.make_endpoint("acme/swift@best", rates=DEAR)],
        providers=[snapshots.make_provider("acme"), snapshots.make_provider("best")],
        version=next(_versions),
        own_prices=own_prices,
    )


@pytest.fixture
def market(db: None) -> None:
    """Publish a model with two endpoints: acme at $0.25 and $0.60 per million tokens, best at twice that."""
    _open_market()


def test_a_policy_is_saved_in_versions_and_made_the_default(api, organization):
    made = api("POST", "policies", {"slug": "cheap", "name": "Cheap first", "provider": {"sort": "price"}, "is_default": True})
    assert made.status_code == 201, made.content
    assert {**made.json()["data"], "created_at": 0, "updated_at": 0} == {
        "slug": "cheap", "name": "Cheap first", "description": None, "status": "active", "is_default": True, "version": 1,
        "provider": {"sort": "price"}, "created_at": 0, "updated_at": 0,
    }  # fmt: skip

    assert api("POST", "policies", {"slug": "cheap", "provider": {"max_price": {"prompt": 0.5}}}).status_code == 200

    rules = presets.rules_of(organization)
    assert (rules.default_policy, rules.policies["cheap"].version) == ("cheap", 2)
    assert rules.policies["cheap"].provider == {"max_price": {"prompt": 0.5}}
    assert [one["version"] for one in api("GET", "policies/cheap/versions").json()["data"]] == [2, 1]
    assert [one["slug"] for one in api("GET", "policies").json()["data"]] == ["cheap"]
    back = api("PATCH", "policies/cheap", {"designated_version": 1, "is_default": False}).json()["data"]
    assert (back["version"], back["is_default"], back["provider"]) == (1, False, {"sort": "price"})


def test_only_management_keys_and_no_strangers(api, stranger_api, make_key):
    api("POST", "policies", {"slug": "cheap", "provider": {"sort": "price"}})

    assert ApiClient(make_key()[1])("GET", "policies").status_code == 403
    assert stranger_api("GET", "policies").json() == {"data": [], "total_count": 0}
    assert stranger_api("GET", "policies/cheap").status_code == 404
    assert stranger_api("PATCH", "policies/cheap", {"status": "archived"}).status_code == 404
    assert stranger_api("POST", "policies/simulate", {"slug": "cheap"}).status_code == 404
    assert api("GET", "policies/cheap").json()["data"]["status"] == "active"


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("policies", {"provider": {"sort": "price"}}, "slug"),
        ("policies", {"slug": "cheap"}, "provider"),
        ("policies", {"slug": "cheap", "provider": {"sort": "fame"}}, "provider.sort"),
        ("policies", {"slug": "cheap", "provider": {"sort": "price"}, "is_default": "yes"}, "is_default"),
        ("policies/simulate", {"provider": {}}, "provider"),
        ("policies/simulate", {"provider": {"sort": "price"}, "requests": 0}, "requests"),
    ],
)
def test_what_is_wrong_is_refused_with_its_name(api, path, body, param):
    answer = api("POST", path, body)

    assert answer.status_code == 400
    assert answer.json()["error"]["metadata"]["param"] == param


def test_a_simulation_tells_who_would_have_answered_and_at_what_cost(api, make_key, market):
    api_key, _ = make_key()
    for _ in range(3):
        book(api_key)
    book(api_key, requested_model="acme/gone")

    data = api("POST", "policies/simulate", {"provider": {"only": ["best"]}}).json()["data"]

    assert (data["requests"], data["skipped"], data["refused"]) == (4, 1, 0)
    assert data["providers_after"] == {"best": 3}
    # 100 tokens in and 315 out: $0.000214 at acme, $0.000428 at best.
    assert data["cost_after"] == {"nanos": str(3 * 428_000), "usd": "0.001284"}
    before = data["providers_before"]
    assert int(data["cost_before"]["nanos"]) == 214_000 * before.get("acme", 0) + 428_000 * before.get("best", 0)
    assert data["moved"] == before.get("acme", 0) == len(data["samples"])


def test_a_simulation_tells_what_would_have_been_refused_and_compares_with_the_default(api, make_key, market):
    api_key, _ = make_key()
    book(api_key)
    api("POST", "policies", {"slug": "dear", "provider": {"only": ["best"]}, "is_default": True})

    data = api("POST", "policies/simulate", {"provider": {"max_price": {"prompt": "0.1"}}}).json()["data"]

    assert (data["refused"], data["providers_before"], data["providers_after"]) == (1, {"best": 1}, {})
    assert "max_price" in data["samples"][0]["error"]
    assert data["cost_before"]["nanos"] == "0"  # of requests that both answer

    cheap = api("POST", "policies/simulate", {"slug": "dear", "requests": 1}).json()["data"]
    assert (cheap["moved"], cheap["samples"]) == (0, [])


def test_a_simulation_sees_nothing_of_other_organizations(stranger_api, make_key, market):
    book(make_key()[0])

    assert stranger_api("POST", "policies/simulate", {"provider": {"sort": "price"}}).json()["data"]["requests"] == 0


def test_a_simulation_counts_the_organizations_own_prices(api, make_key, organization, market):
    book(make_key()[0])
    half = {"acme/swift@best": RateCard(rates={name: picos // 2 for name, picos in DEAR.items()})}

    _open_market(own_prices={organization.pk: half})
    data = api("POST", "policies/simulate", {"provider": {"only": ["best"]}}).json()["data"]

    assert data["cost_after"]["nanos"] == "214000"
