"""What is sent upstream, made while the hold is under way and worked out once."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from gateway.dialects.base import InvalidRequest
from gateway.dialects.chat_completions import decode_request
from gateway.relay.attempts import Call, prepare_ahead, prepare_call
from gateway.relay.catalog import Candidate, Credential
from gateway.relay.types import HoldPlan
from gateway.relay.upstream import aim
from tests.gateway.relay.builders import make_candidate

pytestmark = pytest.mark.interpreted  # with as much of a generation as is asked for
BODY = b'{"model": "author/model", "messages": [{"role": "user", "content": "Hi"}]}'


def generation_of(body: bytes = BODY, cap: int | None = None) -> Any:
    return SimpleNamespace(request=decode_request(body), plan=HoldPlan(5, 5, 5, cap), ahead=None)


def hosted(credential: str = "sk-1", **changes: Any) -> Candidate:
    candidate = make_candidate("alpha")
    return Candidate(candidate.endpoint, replace(candidate.host, credential=credential, **changes), candidate.blended_picos)


def sent(call: Call) -> dict[str, Any]:
    body: dict[str, Any] = msgspec.json.decode(call.body)
    return body


def test_a_call_made_ahead_is_used_once_and_is_the_one_that_would_be_made():
    candidate, generation = hosted(), generation_of(cap=77)
    prepare_ahead(generation, candidate, generation.plan)
    ahead = generation.ahead.call
    assert prepare_call(generation, candidate, "sk-1") is ahead
    again = prepare_call(generation, candidate, "sk-1")
    assert again is not ahead
    assert again == ahead
    assert (sent(ahead)["model"], sent(ahead)["max_tokens"]) == ("upstream-model", 77)


def test_a_call_made_ahead_is_not_sent_elsewhere_nor_with_another_credential():
    candidate, other = hosted(), hosted("sk-2")
    for asked, secret in ((other, "sk-2"), (candidate, "sk-3")):
        generation = generation_of()
        prepare_ahead(generation, candidate, generation.plan)
        call = prepare_call(generation, asked, secret)
        assert f"authorization: Bearer {secret}\r\n".encode() in call.target.head
        assert b"sk-1" not in call.target.head


def test_of_several_credentials_none_is_chosen_ahead():
    candidate, generation = hosted(credentials=(Credential("main", "sk-1"), Credential("spare", "sk-2"))), generation_of()
    prepare_ahead(generation, candidate, generation.plan)
    assert generation.ahead is None


def test_what_cannot_be_expressed_is_told_when_it_is_asked_for():
    candidate, generation = hosted(), generation_of()
    generation.request.opaque, generation.request.native_dialect = "input[0]", "responses"
    prepare_ahead(generation, candidate, generation.plan)
    assert generation.ahead is None
    with pytest.raises(InvalidRequest):
        prepare_call(generation, candidate, "sk-1")


def test_the_head_of_a_request_is_made_once_for_each_credential():
    candidate = hosted(headers={"x-title": "Tollway"})
    first, second, other = (prepare_call(generation_of(), candidate, secret) for secret in ("sk-1", "sk-1", "sk-2"))
    assert first.target is second.target
    assert first.target == aim(
        "https://provider.example/v1/chat/completions",
        {"content-type": "application/json", "authorization": "Bearer sk-1", "x-title": "Tollway"},
        is_public_only=True,
    )
    assert other.target.head == first.target.head.replace(b"sk-1", b"sk-2")
