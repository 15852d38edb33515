"""The saved OpenAPI contract and the newest official SDK, which asks for more: every answer must satisfy both."""

import datetime as dt
import socket
import threading
import time
from collections.abc import Callable, Iterator

import openrouter
import pytest
import uvicorn
from django.core.asgi import get_asgi_application
from openrouter import errors

from accounts.models import ApiKey
from billing.types import AttemptRecord, generation_id
from gateway.api.key_shapes import user_id, workspace_id
from tests.gateway.api.client import ApiClient
from tests.gateway.api.contract import breaches


@pytest.fixture
def server_url(transactional_db: None) -> Iterator[str]:
    """Serve Django over real HTTP on a free port of the loopback."""
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(get_asgi_application(), lifespan="off", log_level="warning", ws="none")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.005)
    yield f"http://127.0.0.1:{listener.getsockname()[1]}/api/v1"
    server.should_exit = True
    thread.join(timeout=10)
    listener.close()


@pytest.fixture
def sdk(server_url: str) -> Callable[[str], openrouter.OpenRouter]:
    """Return a maker of SDK clients: secret → client."""
    return lambda secret: openrouter.OpenRouter(api_key=secret, server_url=server_url, timeout_ms=10_000)


def test_the_sdk_makes_lists_reads_changes_and_deletes_a_key(sdk, management_key, organization, owner):
    with sdk(management_key[1]) as client:
        expires_at = dt.datetime(2031, 5, 6, 7, 8, 9, tzinfo=dt.UTC)
        made = client.api_keys.create(
            name="CI", limit=7.25, limit_reset="weekly", expires_at=expires_at, include_byok_in_limit=True, external={"user": "end-user-7"},
            creator_user_id=user_id(owner), workspace_id=workspace_id(organization),
        )  # fmt: skip
        assert (made.data.name, made.data.limit, made.data.limit_remaining, made.data.limit_reset) == ("CI", 7.25, 7.25, "weekly")
        assert (made.data.expires_at, made.data.external_user, made.data.include_byok_in_limit) == (expires_at, "end-user-7", True)
        key_hash = made.data.hash
        assert [data.hash for data in client.api_keys.list(include_disabled=True, include_expired=True, offset=0).data] == [key_hash]
        changed = client.api_keys.update(hash=key_hash, name="CI 2", limit=None, limit_reset=None, disabled=True)
        assert (changed.data.name, changed.data.limit, changed.data.limit_reset, changed.data.disabled) == ("CI 2", None, None, True)
        assert client.api_keys.list().data == []
        shown = client.api_keys.get(hash=key_hash)
        assert shown.data.model_dump() == changed.data.model_dump()
        assert ApiKey.objects.get(hash=key_hash).limit_nanos is None
        assert client.api_keys.delete(hash=key_hash).DELETED is True
        with pytest.raises(errors.NotFoundResponseError):
            client.api_keys.get(hash=key_hash)


def test_the_sdk_reads_key_credits_and_a_receipt_right_after_a_request(sdk, management_key, make_key, spend):
    api_key, secret = make_key(limit_nanos=2_000_000_000, limit_reset="daily")
    attempt = AttemptRecord(endpoint_id="acme/swift@acme", provider="acme", status=200, latency_ms=240)
    event = spend(api_key, amount_picos=214_000_000, attempts=(attempt,), streamed=True, finish_reason="stop")
    with sdk(secret) as client:
        current = client.api_keys.get_current_key_metadata().data
        assert (current.usage, current.usage_daily, current.limit_remaining) == (0.000214, 0.000214, 1.999786)
        assert (current.effective_budget.scope, current.effective_budget.spend_usd) == ("key_limit", 0.000214)
        receipt = client.generations.get_generation(id=generation_id(event.event_id)).data
        assert (receipt.total_cost, receipt.usage, receipt.model, receipt.tokens_completion) == (0.000214, 0.000214, "acme/swift", 315)
        assert receipt.provider_responses[0].status == 200
        with pytest.raises(errors.ForbiddenResponseError, match="Only management keys can perform this operation"):
            client.credits.get_credits()
    with sdk(management_key[1]) as client:
        credits_ = client.credits.get_credits().data
        assert (credits_.total_credits, credits_.total_usage) == (25.0, 0.000214)
        assert client.api_keys.get_current_key_metadata().data.is_management_key is True
        listed = client.api_keys.list().data[0]
        assert (listed.usage, listed.last_used_at is not None) == (0.000214, True)


def test_the_sdk_knows_our_refusals(sdk, management_key):
    with sdk("sk-tw-v1-nonsense") as client, pytest.raises(errors.UnauthorizedResponseError, match="User not found"):
        client.api_keys.get_current_key_metadata()
    with sdk(management_key[1]) as client:
        with pytest.raises(errors.BadRequestResponseError, match="limit must not be negative"):
            client.api_keys.create(name="k", limit=-1)
        with pytest.raises(errors.NotFoundResponseError):
            client.generations.get_generation(id="gen-unknown")


@pytest.mark.parametrize("limit_nanos", [None, 5_000_000_000])
def test_every_answer_keeps_the_saved_contract(api, make_key, spend, limit_nanos):
    expires_at = None if limit_nanos is None else dt.datetime(2031, 1, 1, tzinfo=dt.UTC)
    api_key, secret = make_key(limit_nanos=limit_nanos, limit_reset="" if limit_nanos is None else "daily", expires_at=expires_at)
    event = spend(api_key, attempts=(AttemptRecord(endpoint_id="e", provider="acme", status=0, latency_ms=1, reason="connect"),))
    path = f"keys/{api_key.hash}"
    answers = {
        "get_key": ApiClient(secret)("GET", "key"),
        "create_key": api("POST", "keys", {"name": "k"}),
        "list_keys": api("GET", "keys"),
        "get_key_by_hash": api("GET", path),
        "update_key": api("PATCH", path, {"name": "n"}),
        "get_credits": api("GET", "credits"),
        "get_generation": api("GET", f"generation?id={generation_id(event.event_id)}"),
        "delete_key": api("DELETE", path),
        "error": api("GET", path),
    }
    assert {name: breaches(name, answer.json()) for name, answer in answers.items()} == {name: [] for name in answers}


def test_the_contract_check_finds_what_is_missing_or_of_the_wrong_type():
    assert breaches("get_credits", {"data": {"total_credits": "25"}}) == [
        "$.data.total_usage is missing",
        "$.data.total_credits: '25' is not number",
    ]
    assert breaches("delete_key", {"deleted": False}) == ["$.deleted: False is not True"]
