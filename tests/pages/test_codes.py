"""Redeeming a code on the credits page."""

import re
from collections.abc import Callable

import pytest
from allauth.account.models import EmailAddress
from django.test import Client

from accounts.models import Organization, User
from billing.models import Campaign, CreditLot

pytestmark = pytest.mark.django_db
AsPerson = Callable[[User], Client]


@pytest.fixture
def browser(organization: Organization, owner: User, as_person: AsPerson) -> Client:
    EmailAddress.objects.update_or_create(user=owner, email=owner.email, defaults={"verified": True, "primary": True})
    Campaign.objects.create(code="SPRING-27", name="spring", reason="Spring offer", amount_cents=500, created_by="o@example.com")
    return as_person(owner)


def _form(browser: Client, code: str) -> dict[str, str]:
    page = browser.get("/credits").content.decode()
    section = page[page.index('id="code"') :]
    found = re.search(r'name="attempt" value="([^"]*)"', section)
    assert found is not None
    return {"attempt": found[1], "code": code}


def test_a_code_is_redeemed_once_and_stands_among_granted_credit(browser: Client) -> None:
    form = _form(browser, "spring-27")

    answers = [browser.post("/credits/redeem", form, follow=True) for _ in range(2)]

    assert ["$5 of credit was granted" in answer.content.decode() for answer in answers] == [True, True]
    assert CreditLot.objects.count() == 1
    assert "Spring offer" in browser.get("/credits/automatic").content.decode()


@pytest.mark.parametrize("code", ["", "NO-SUCH-CODE", "x" * 500, "<b>SPRING-27</b>", "SPRING-27\0"])
def test_a_wrong_code_comes_back_with_the_reason_and_grants_nothing(browser: Client, code: str) -> None:
    answer = browser.post("/credits/redeem", _form(browser, code))

    page = answer.content.decode()
    assert (answer.status_code, "There is no such code" in page, "<b>SPRING" in page) == (422, True, False)
    assert CreditLot.objects.count() == 0


def test_a_form_made_for_something_else_grants_nothing(browser: Client) -> None:
    answer = browser.post("/credits/redeem", {"attempt": "forged", "code": "SPRING-27"})

    assert (answer.status_code, "open for too long" in answer.content.decode()) == (422, True)
    assert CreditLot.objects.count() == 0


def test_members_see_no_form_and_redeem_nothing(browser: Client, member: User, as_person: AsPerson) -> None:
    form = _form(browser, "SPRING-27")
    theirs = as_person(member)

    assert "Redeem a code" not in theirs.get("/credits").content.decode()
    assert theirs.post("/credits/redeem", form).status_code == 403
    assert CreditLot.objects.count() == 0
