import datetime as dt

import pytest
from django.db import OperationalError

from accounts import key_format
from gateway.api import credits as credits_view
from tests.gateway.api.client import ApiClient

pytestmark = pytest.mark.django_db


def check_shape(response, status, message=None):
    assert response.status_code == status
    assert response["Content-Type"] == "application/json"
    assert response["Cache-Control"] == "private, no-store"
    assert response["Access-Control-Allow-Origin"] == "*"
    body = response.json()
    assert set(body) == {"error"}
    error = body["error"]
    assert error["code"] == status
    assert isinstance(error["message"], str)
    assert {"error_type", "source", "retryable"} <= set(error["metadata"])
    if message is not None:
        assert error["message"] == message
    return error


@pytest.mark.parametrize("path", ["key", "auth/key", "keys", "keys/" + "0" * 64, "credits", "generation?id=gen-1"])
@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer ", "Basic abc"])
def test_without_a_key_every_path_says_so(path, header):
    headers = {} if header is None else {"Authorization": header}
    response = ApiClient("")("GET", path, **headers)
    error = check_shape(response, 401, "Missing Authentication header")
    assert error["metadata"]["error_type"] == "authentication"
    assert response["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize(
    "secret", ["nonsense", "sk-tw-v1-" + "0" * 64, key_format.mint_secret(), "ж"], ids=["word", "bad-checksum", "unknown", "not-latin"]
)
def test_an_unknown_key_is_refused(secret):
    check_shape(ApiClient(secret)("GET", "key"), 401, "User not found.")


def test_disabled_and_expired_keys_are_told_apart(make_key):
    past = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
    check_shape(ApiClient(make_key(disabled=True)[1])("GET", "key"), 401, "This API key is disabled.")
    expired = make_key(expires_at=past + dt.timedelta(days=1), now=past)[1]
    check_shape(ApiClient(expired)("GET", "key"), 401, "This API key has expired.")


def test_the_key_may_come_as_x_api_key(make_key):
    assert ApiClient("")("GET", "key", **{"x-api-key": make_key()[1]}).status_code == 200


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b'"x"', b"null", b"\xff", b"{'name': 'k'}", b"NaN", b"[" * 100_000])
def test_a_body_that_is_no_object_is_refused(api, raw):
    check_shape(api("POST", "keys", raw=raw), 400)


def test_a_huge_body_is_refused(api):
    error = check_shape(api("POST", "keys", raw=b'{"name": "' + b"x" * 300_000 + b'"}'), 413, "Request payload too large")
    assert error["metadata"]["error_type"] == "payload_too_large"


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""])
def test_json_is_read_whatever_the_content_type_says(api, content_type):
    assert api("POST", "keys", {"name": "k"}, **{"Content-Type": content_type}).status_code == 201


@pytest.mark.parametrize(
    ("method", "path"), [("PUT", "keys"), ("PATCH", "keys"), ("DELETE", "credits"), ("POST", "key"), ("TRACE", "keys")]
)
def test_another_method_is_405_with_the_allowed_ones(api, method, path):
    response = api(method, path)
    check_shape(response, 405)
    assert "GET" in response["Allow"]


@pytest.mark.parametrize("path", ["", "nothing", "keys/a/b", "Keys", "generation/x"])
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
def test_an_unknown_path_is_404_with_or_without_a_key(api, path, method):
    check_shape(api(method, path), 404)
    check_shape(ApiClient("")(method, path), 404)


@pytest.mark.parametrize("accept", ["text/html", "image/png", "*/*", "application/xml;q=0.9"])
def test_the_answer_is_json_whatever_is_accepted(make_key, accept):
    response = ApiClient(make_key()[1])("GET", "key", accept=accept)
    assert (response.status_code, response["Content-Type"]) == (200, "application/json")


def test_a_preflight_needs_no_key():
    response = ApiClient("")("OPTIONS", "keys", origin="https://app.example", **{"access-control-request-method": "POST"})
    assert (response.status_code, response["Access-Control-Allow-Origin"]) == (204, "*")
    assert {"GET", "POST"} <= set(response["Access-Control-Allow-Methods"].split(", "))


def test_the_request_id_is_kept(api):
    assert api("GET", "key", **{"X-Request-Id": "request-12345678"})["X-Request-Id"] == "request-12345678"
    assert api("GET", "nothing")["X-Request-Id"]


def test_a_failure_of_ours_tells_nothing_of_its_inside(api, monkeypatch, caplog):
    def fail(_):
        raise ZeroDivisionError("the secret inside")

    monkeypatch.setattr(credits_view.queries, "total_credits_nanos", fail)
    response = api("GET", "credits")
    error = check_shape(response, 500, "Internal Server Error")
    assert error["metadata"]["error_type"] == "server"
    assert "secret inside" not in response.content.decode()
    assert "ZeroDivisionError" in caplog.text


def test_a_store_that_is_away_is_503_and_may_be_retried(api, monkeypatch):
    def fail(_):
        raise OperationalError("connection refused at 10.0.0.7")

    monkeypatch.setattr(credits_view.queries, "total_credits_nanos", fail)
    response = api("GET", "credits")
    error = check_shape(response, 503, "Service temporarily unavailable")
    assert (response["Retry-After"], error["metadata"]["retryable"]) == ("1", True)
    assert "10.0.0.7" not in response.content.decode()
