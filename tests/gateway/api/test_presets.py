"""/api/v1/presets as the contract has it, for either kind of key and for nobody else's presets."""

import pytest

from accounts.models import RequestPreset
from tests.gateway.api.client import ApiClient
from tests.gateway.api.contract import breaches

HELLO = [{"role": "user", "content": "Hello"}]
BODY = {"model": "acme/swift", "messages": [{"role": "system", "content": "Be brief."}, *HELLO], "temperature": 0.25, "stream": True}


@pytest.fixture
def client(make_key) -> ApiClient:
    """Return a client with a key that calls models."""
    return ApiClient(make_key()[1])


def test_a_preset_is_made_of_a_request_read_listed_and_versioned(client):
    made = client("POST", "presets/brief/chat/completions", BODY)
    assert made.status_code == 200, made.content
    assert breaches("create_preset", made.json()) == []
    data = made.json()["data"]
    assert (data["slug"], data["status"], data["designated_version"]["version"]) == ("brief", "active", 1)
    assert data["designated_version"]["config"] == {"model": "acme/swift", "temperature": 0.25}
    assert data["designated_version"]["system_prompt"] == "Be brief."

    again = client("POST", "presets/brief/messages", {"model": "acme/swift", "messages": HELLO, "max_tokens": 9, "system": "Be loud."})
    assert again.json()["data"]["designated_version"]["config"] == {"model": "acme/swift", "max_tokens": 9}
    client("POST", "presets/other/responses", {"model": "acme/swift", "input": "Hello"})

    listed = client("GET", "presets").json()
    assert breaches("list_presets", listed) == []
    assert ([one["slug"] for one in listed["data"]], listed["total_count"]) == (["other", "brief"], 2)
    assert [one["slug"] for one in client("GET", "presets?offset=1&limit=1").json()["data"]] == ["brief"]
    shown = client("GET", "presets/brief").json()
    assert breaches("get_preset", shown) == []
    assert shown["data"] == again.json()["data"]
    versions = client("GET", "presets/brief/versions").json()
    assert breaches("list_preset_versions", versions) == []
    assert [one["version"] for one in versions["data"]] == [2, 1]
    first = client("GET", "presets/brief/versions/1").json()
    assert breaches("get_preset_version", first) == []
    assert first["data"]["system_prompt"] == "Be brief."


def test_an_older_version_and_another_status_can_be_put_in_force(client):
    client("POST", "presets/brief/chat/completions", BODY)
    client("POST", "presets/brief/chat/completions", {**BODY, "temperature": 1})

    answer = client("PATCH", "presets/brief", {"designated_version": 1, "status": "disabled", "description": "Short words"})

    data = answer.json()["data"]
    assert (data["designated_version"]["version"], data["status"], data["description"]) == (1, "disabled", "Short words")


def test_strangers_find_nothing_and_change_nothing(client, stranger_api):
    client("POST", "presets/brief/chat/completions", BODY)

    assert stranger_api("GET", "presets").json() == {"data": [], "total_count": 0}
    for method, path in [
        ("GET", "presets/brief"),
        ("GET", "presets/brief/versions"),
        ("GET", "presets/brief/versions/1"),
        ("PATCH", "presets/brief"),
    ]:
        assert stranger_api(method, path, {} if method == "PATCH" else None).status_code == 404
    stranger_api("POST", "presets/brief/chat/completions", {**BODY, "temperature": 2})
    assert client("GET", "presets/brief").json()["data"]["designated_version"]["config"]["temperature"] == 0.25
    assert RequestPreset.objects.count() == 2


@pytest.mark.parametrize(
    ("method", "path", "body", "param"),
    [
        ("POST", "presets/Loud!/chat/completions", BODY, "slug"),
        ("POST", "presets/brief/chat/completions", {**BODY, "temperature": 9}, "temperature"),
        ("POST", "presets/brief/chat/completions", {**BODY, "provider": {"sort": "fame"}}, "provider.sort"),
        ("PATCH", "presets/there", {"status": "broken"}, "status"),
        ("PATCH", "presets/there", {"designated_version": "1"}, "designated_version"),
        ("GET", "presets?limit=101", None, "limit"),
    ],
)
def test_what_is_wrong_is_refused_with_its_name(client, method, path, body, param):
    client("POST", "presets/there/chat/completions", BODY)

    answer = client(method, path, body)

    assert answer.status_code == 400, answer.content
    assert answer.json()["error"]["metadata"]["param"] == param


def test_a_version_that_is_not_there_is_a_404(client):
    client("POST", "presets/brief/chat/completions", BODY)

    assert client("GET", "presets/brief/versions/7").status_code == 404
    assert client("PATCH", "presets/brief", {"designated_version": 7}).status_code == 404
    assert client("GET", "presets/loud").status_code == 404
