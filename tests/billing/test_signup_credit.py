import datetime as dt
import re
import threading

import pytest
from allauth.account.models import EmailAddress
from django.core import mail
from django.db import connection
from django.test import Client
from django.utils import timezone

from accounts import organizations
from accounts.models import Organization, User
from billing import queries, signup_credit
from billing.books import transfers
from billing.models import CreditLot, SignupCredit
from tests.factories.people import UserFactory

NOW = dt.datetime(2027, 3, 1, 12, tzinfo=dt.UTC)
AT = "93.184.216.34"


@pytest.fixture(autouse=True)
def limits(settings):
    """Grant $1 for 30 days, with limits that a test can reach."""
    settings.SIGNUP_CREDIT_CENTS = 100
    settings.SIGNUP_CREDIT_DAYS = 30
    settings.SIGNUP_CREDIT_A_DAY = 100
    settings.SIGNUP_CREDIT_A_NETWORK = 2
    settings.SIGNUP_CREDIT_A_DOMAIN = 2
    return settings


def sign_up(email):
    user = UserFactory(email=email)
    organizations.create_personal(user=user)
    return user


def claim(user, *, at="", now=NOW):
    made = signup_credit.claim(user=user, email=user.email, address=at, now=now)
    return "none" if made is None else made.state


def available(user):
    return queries.balance(Organization.objects.get(memberships__user=user)).available_nanos


@pytest.mark.django_db(transaction=True)
def test_verifying_the_address_grants_once_and_the_credit_expires():
    client = Client()
    client.post("/accounts/signup/", {"email": "ada@example.com", "password1": "a long enough phrase"})
    assert SignupCredit.objects.count() == 0
    link = re.search(r"http://\S+(/accounts/confirm-email/\S+/)", str(mail.outbox[0].body))[1]

    for _ in range(2):
        client.post(link)

    lot = CreditLot.objects.get()
    assert (lot.amount_nanos, lot.campaign, lot.reason) == (1_000_000_000, "sign-up", "Welcome credit")
    assert timezone.now() + dt.timedelta(days=29) < lot.expires_at < timezone.now() + dt.timedelta(days=31)
    assert available(User.objects.get()) == 1_000_000_000
    assert "Welcome credit" in client.get("/credits/automatic").content.decode()


@pytest.mark.django_db
def test_a_repeated_claim_returns_the_first_and_grants_nothing():
    user = sign_up("ada@example.com")

    assert [claim(user), claim(user, now=NOW + dt.timedelta(days=400))] == ["granted", "granted"]
    assert available(user) == 1_000_000_000


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("first", "second"),
    [("ada@example.com", "ada+2@example.com"), ("ada.lovelace@gmail.com", "adalovelace+x@googlemail.com")],
    ids=["tag", "dots and another name"],
)
def test_the_same_mailbox_under_another_address_gets_nothing(first, second):
    assert claim(sign_up(first)) == "granted"
    again = sign_up(second)

    assert claim(again) == "none"
    assert available(again) == 0


@pytest.mark.django_db
def test_a_mailbox_stays_known_when_the_person_is_gone_and_the_key_is_changed(limits):
    gone = sign_up("ada@example.com")
    claim(gone)
    EmailAddress.objects.filter(user=gone).delete()
    gone.delete()
    limits.SECRET_KEY_FALLBACKS, limits.SECRET_KEY = [limits.SECRET_KEY], "another-key-" + "y" * 40

    assert claim(sign_up("ada@example.com")) == "none"


@pytest.mark.django_db
def test_another_dot_elsewhere_is_another_mailbox():
    assert [claim(sign_up("a.b@example.com")), claim(sign_up("ab@example.com"))] == ["granted", "granted"]


@pytest.mark.django_db
def test_a_domain_gets_so_many_unless_it_is_open_to_everybody():
    assert [claim(sign_up(f"p{n}@farm.example")) for n in range(3)] == ["granted", "granted", "refused"]
    assert [claim(sign_up(f"p{n}@gmail.com")) for n in range(3)] == ["granted"] * 3
    assert SignupCredit.objects.get(state="refused").reason == "The domain has had as many as it may."


@pytest.mark.django_db
@pytest.mark.parametrize("domain", ["mailinator.com", "eu.mailinator.com"])
def test_a_throw_away_domain_and_what_is_below_it_is_refused(domain):
    user = sign_up(f"ada@{domain}")

    assert claim(user) == "refused"
    assert available(user) == 0


@pytest.mark.django_db
def test_a_network_gets_so_many_in_a_day_and_a_proxy_is_no_network():
    people = [sign_up(f"p{n}@gmail.com") for n in range(8)]

    assert [claim(one, at=f"93.184.216.{n}") for n, one in enumerate(people[:3])] == ["granted", "granted", "refused"]
    assert claim(people[3], at="93.184.217.1") == "granted"
    assert claim(people[4], at=AT, now=NOW + dt.timedelta(days=1, seconds=1)) == "granted"
    assert [claim(one, at="10.0.0.1") for one in people[5:]] == ["granted"] * 3


@pytest.mark.django_db
def test_who_finds_the_day_full_waits_for_the_next(limits):
    limits.SIGNUP_CREDIT_A_DAY = 2
    people = [sign_up(f"p{n}@gmail.com") for n in range(5)]
    assert [claim(one) for one in people] == ["granted", "granted", "waiting", "waiting", "waiting"]

    assert signup_credit.sweep(now=NOW + dt.timedelta(hours=1)) == 0
    assert signup_credit.sweep(now=NOW + dt.timedelta(hours=13)) == 2
    assert signup_credit.sweep(now=NOW + dt.timedelta(hours=14)) == 0
    assert signup_credit.sweep(now=NOW + dt.timedelta(hours=37)) == 1

    assert [available(one) for one in people] == [1_000_000_000] * 5


@pytest.mark.django_db
def test_the_sweep_claims_for_whom_a_crash_kept_from_it(monkeypatch):
    user = sign_up("ada@example.com")
    verified = EmailAddress.objects.create(user=user, email=user.email, verified=True, primary=True)
    EmailAddress.objects.create(user=sign_up("eve@example.com"), email="eve@example.com", verified=False, primary=True)

    def fail(**_):
        raise RuntimeError("crash")

    with monkeypatch.context() as patch:
        patch.setattr(signup_credit, "claim", fail)
        signup_credit.on_email_confirmed(request=None, email_address=verified)
    assert SignupCredit.objects.count() == 0

    assert signup_credit.sweep() == 1
    assert signup_credit.sweep() == 0
    assert available(user) == 1_000_000_000


@pytest.mark.django_db
def test_without_the_setting_or_an_organization_there_is_none(limits):
    assert claim(UserFactory()) == "none"
    limits.SIGNUP_CREDIT_CENTS = 0
    assert claim(sign_up("ada@example.com")) == "none"
    assert signup_credit.sweep() == 0
    assert SignupCredit.objects.count() == 0


@pytest.mark.django_db(transaction=True)
def test_claims_at_once_keep_every_limit(limits):
    limits.SIGNUP_CREDIT_A_DAY = 3
    people = [sign_up(f"p{n}@gmail.com") for n in range(4)] * 2
    errors = []

    def work(user):
        try:
            claim(user)
        except Exception as error:  # noqa: BLE001 -- the test asserts that there was none
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=work, args=(one,)) for one in people]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert errors == []
    assert sorted(SignupCredit.objects.values_list("state", flat=True)) == ["granted"] * 3 + ["waiting"]
    assert CreditLot.objects.count() == 3


@pytest.mark.django_db
def test_a_grant_that_fails_leaves_no_claim(monkeypatch):
    user = sign_up("ada@example.com")

    def fail(**_):
        raise RuntimeError("crash")

    with monkeypatch.context() as patch:
        patch.setattr(transfers, "grant", fail)
        with pytest.raises(RuntimeError):
            claim(user)

    assert SignupCredit.objects.count() == 0
    assert claim(user) == "granted"


@pytest.mark.parametrize(
    ("address", "network"),
    [
        (AT, "93.184.216.0/24"),
        ("2606:2800:220:1:248:1893:25c8:1946", "2606:2800:220::/48"),
        ("127.0.0.1", ""),
        ("10.1.2.3", ""),
        ("", ""),
        ("no address", ""),
    ],
)
def test_a_network_is_what_one_line_shares(address, network):
    assert signup_credit.network_of(address) == network
