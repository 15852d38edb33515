import re
from collections.abc import Callable

import pytest
from django.core import mail
from django.test import Client

from accounts.models import Membership, Organization, User
from tests.factories.people import PASSWORD, MembershipFactory, OrganizationFactory, UserFactory

AsPerson = Callable[[User], Client]


@pytest.mark.django_db
def test_signing_up_makes_an_organization_sends_mail_and_lands_on_the_dashboard(client: Client) -> None:
    answer = client.post("/accounts/signup/", {"email": "Ada@Example.com", "password1": "a long enough phrase"})

    membership = Membership.objects.get()
    assert (answer.status_code, answer["Location"]) == (302, "/dashboard")
    assert (membership.user.email, membership.role, membership.organization.name) == ("ada@example.com", "owner", "ada")
    assert [message.subject for message in mail.outbox] == ["Tollway: Confirm your e-mail address"]
    assert client.get("/dashboard").status_code == 200


@pytest.mark.django_db
def test_the_mailed_link_confirms_the_address(client: Client) -> None:
    client.post("/accounts/signup/", {"email": "ada@example.com", "password1": "a long enough phrase"})
    link = re.search(r"http://\S+(/accounts/confirm-email/\S+/)", str(mail.outbox[0].body))
    assert link is not None

    client.post(link[1])

    assert User.objects.get().emailaddress_set.get().verified is True


@pytest.mark.django_db
def test_a_weak_password_is_refused_and_nothing_is_made(client: Client) -> None:
    client.post("/accounts/signup/", {"email": "ada@example.com", "password1": "password"})

    assert (User.objects.count(), Organization.objects.count()) == (0, 0)


@pytest.mark.django_db
def test_logins_are_limited(client: Client) -> None:
    person = UserFactory()
    for _ in range(6):
        client.post("/accounts/login/", {"login": person.email, "password": "wrong"})

    answer = client.post("/accounts/login/", {"login": person.email, "password": PASSWORD})

    assert "_auth_user_id" not in client.session
    assert answer.status_code in {200, 429}


@pytest.mark.django_db
def test_logging_in_and_out(client: Client) -> None:
    person = OrganizationFactory().memberships.get().user

    landed = client.post("/accounts/login/", {"login": person.email.upper(), "password": PASSWORD})
    left = client.post("/accounts/logout/")

    assert (landed["Location"], left["Location"]) == ("/dashboard", "/")


@pytest.mark.parametrize(
    "path",
    [
        "/accounts/login/",
        "/accounts/signup/",
        "/accounts/password/reset/",
        "/accounts/password/reset/done/",
        "/accounts/confirm-email/none/",
    ],
)
@pytest.mark.django_db
def test_every_page_of_accounts_wears_our_dress(client: Client, path: str) -> None:
    page = client.get(path).content.decode()

    assert "css/components.css" in page
    assert page.count("<h1") == 1


@pytest.mark.parametrize("path", ["/accounts/email/", "/accounts/password/change/", "/accounts/logout/"])
@pytest.mark.usefixtures("organization")
def test_pages_of_the_own_account_do_too(owner: User, as_person: AsPerson, path: str) -> None:
    page = as_person(owner).get(path).content.decode()

    assert "css/components.css" in page
    assert page.count("<h1") == 1


def test_somebody_without_an_organization_makes_one_first(as_person: AsPerson) -> None:
    person = UserFactory()
    browser = as_person(person)

    sent_to = browser.get("/dashboard")["Location"]
    made = browser.post(sent_to, {"name": "Lovelace & Co"})

    assert (sent_to, made["Location"]) == ("/organizations/new", "/dashboard")
    assert Membership.objects.get(user=person).organization.name == "Lovelace & Co"


def test_a_member_of_two_organizations_works_in_the_one_they_chose(owner: User, organization: Organization, as_person: AsPerson) -> None:
    other = OrganizationFactory(name="Second")
    MembershipFactory(user=owner, organization=other)
    browser = as_person(owner)

    before = browser.get("/keys").context["organization"]
    browser.post(f"/organizations/{other.public_id}/choose")
    after = browser.get("/keys").context["organization"]

    assert (before, after) == (organization, other)


def test_a_stranger_cannot_choose_the_organization(stranger: User, organization: Organization, as_person: AsPerson) -> None:
    assert as_person(stranger).post(f"/organizations/{organization.public_id}/choose").status_code == 404


def test_an_address_that_names_no_organization_is_not_found(owner: User, organization: Organization, as_person: AsPerson) -> None:
    assert as_person(owner).post("/organizations/%00/choose").status_code == 404


def test_a_removed_member_loses_access_at_once(member: User, organization: Organization, as_person: AsPerson) -> None:
    browser = as_person(member)
    before = browser.get("/keys").status_code

    Membership.objects.filter(user=member, organization=organization).delete()

    assert (before, browser.get("/keys").status_code) == (200, 302)
