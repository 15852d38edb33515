"""The page that explains a request: the same answer as the API, for the person's own organization."""

from collections.abc import Callable

import pytest
from django.test import Client

from accounts import presets
from accounts.models import Organization, User
from billing.books import transfers

AsPerson = Callable[[User], Client]
BODY = '{"model": "acme/swift", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 100}'

pytestmark = pytest.mark.usefixtures("catalog")


def explained(client: Client, body: str = BODY, **fields: str):
    return client.post("/routing", {"body": body, **fields})


def test_the_form_begins_with_a_request_that_works(owner: User, organization: Organization, as_person: AsPerson) -> None:
    answer = as_person(owner).get("/routing")

    assert answer.status_code == 200
    assert "&quot;model&quot;: &quot;acme/swift&quot;" in answer.content.decode()
    assert "No policies or presets are on." in answer.content.decode()


def test_an_explanation_has_the_order_the_hold_and_the_balance(owner: User, organization: Organization, as_person: AsPerson) -> None:
    transfers.grant(organization=organization, amount_nanos=10_000_000_000, reason="test", idempotency_key="one", by=None)

    answer = explained(as_person(owner))

    explanation = answer.context["explanation"]
    assert [one.provider for one in explanation.endpoints] == ["acme"]
    assert int(explanation.hold.amount.nanos) == answer.context["hold_nanos"] > 0
    assert [(row.remaining_nanos, row.limit.covers) for row in answer.context["limits"]] == [(10_000_000_000, True)]
    assert "100 out" in answer.content.decode()


def test_a_policy_of_the_organization_is_at_work_and_one_of_strangers_is_not(
    owner: User, organization: Organization, stranger: User, as_person: AsPerson
) -> None:
    policy, _ = presets.save_version(organization=organization, kind="policy", slug="safe", config={"zdr": True}, by=owner)
    presets.change(preset=policy, by=owner, is_default=True)

    ours, theirs = explained(as_person(owner)), explained(as_person(stranger))

    assert {one.provider: one.rule for one in ours.context["explanation"].rejected}["acme"] == "data_policy:zdr"
    assert ours.context["explanation"].error["code"] == 404
    assert "safe" in ours.content.decode()
    assert [one.provider for one in theirs.context["explanation"].endpoints] == ["acme"]
    assert ">safe" not in theirs.content.decode()


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ("{", 422, "not valid JSON"),
        ('{"model": "acme/gone", "messages": [{"role": "user", "content": "x"}]}', 422, "acme/gone is not a valid model ID"),
        ('{"model": "acme/swift", "messages": []}', 422, "messages"),
        ("", 422, "This field is required."),
    ],
)
@pytest.mark.usefixtures("organization")
def test_what_is_wrong_is_said(owner: User, as_person: AsPerson, body: str, status: int, words: str) -> None:
    answer = explained(as_person(owner), body)

    assert answer.status_code == status
    assert words in answer.content.decode()


def test_nobody_without_an_account_gets_in(client: Client) -> None:
    assert client.get("/routing").status_code == 302
    assert explained(client).status_code == 302
