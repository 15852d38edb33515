"""Campaign codes: what they grant, to whom, how often, and to whom not."""

import datetime as dt
import threading
import uuid

import pytest
import time_machine
from allauth.account.models import EmailAddress
from django.db import connection
from django.test import Client
from django.utils import timezone

from accounts import organizations
from accounts.models import AuditEvent
from accounts.permissions import NotPermitted
from billing import campaign_codes, queries
from billing.campaign_codes import CodeRefused
from billing.models import Campaign, CodeMiss, CodeRedemption, CreditLot
from tests.factories.people import UserFactory

pytestmark = pytest.mark.django_db

NOW = dt.datetime(2027, 3, 1, 12, tzinfo=dt.UTC)
AT = "93.184.216.34"
USD = 1_000_000_000


@pytest.fixture(autouse=True)
def _now():
    with time_machine.travel(NOW, tick=False):
        yield


def make_campaign(**fields):
    given = {"code": "SPRING-27", "name": "spring-2027", "reason": "Spring offer", "amount_cents": 500, "created_by": "o@example.com"}
    return Campaign.objects.create(**(given | fields))


def make_person(email="ada@example.com", *, is_verified=True):
    user = UserFactory(email=email)
    EmailAddress.objects.create(user=user, email=email, verified=is_verified, primary=True)
    return user, organizations.create(name=email, owner=user)


def redeem(user, organization, code="spring-27 ", **fields):
    return campaign_codes.redeem(organization=organization, by=user, code=code, **({"attempt": uuid.uuid4()} | fields))


def refusal(*args, **fields):
    before = CreditLot.objects.count()
    with pytest.raises(CodeRefused) as refused:
        redeem(*args, **fields)
    assert CreditLot.objects.count() == before
    return str(refused.value)


def test_a_code_grants_credit_that_expires_and_the_same_form_grants_once():
    campaign, (user, organization), attempt = make_campaign(), make_person(), uuid.uuid4()

    made = [redeem(user, organization, attempt=attempt) for _ in range(2)]

    assert made[0] == made[1]
    lot = CreditLot.objects.get()
    assert (lot.pk, lot.amount_nanos, lot.campaign, lot.reason) == (made[0].lot_id, 5 * USD, "spring-2027", "Spring offer")
    assert lot.expires_at == NOW + dt.timedelta(days=90)
    assert queries.balance(organization).remaining_nanos == 5 * USD
    assert AuditEvent.objects.get(action="code.redeemed").detail == {"campaign": campaign.name, "amount_nanos": 5 * USD}


def test_a_code_may_be_for_ever_and_for_several_times():
    make_campaign(credit_days=0, per_organization_max=2)
    user, organization = make_person()

    for _ in range(2):
        redeem(user, organization)

    assert "redeemed this code already" in refusal(user, organization)
    assert list(CreditLot.objects.values_list("expires_at", flat=True)) == [None, None]


@pytest.mark.parametrize(
    ("fields", "word"), [({"is_open": False}, "over"), ({"ends_at": NOW}, "over"), ({"redemptions_max": 1}, "used up")]
)
def test_a_code_that_is_over_or_used_up_says_so(fields, word):
    campaign = make_campaign()
    redeem(*make_person("first@example.com"))
    Campaign.objects.filter(pk=campaign.pk).update(**fields)

    assert word in refusal(*make_person("second@example.com"))


def test_a_person_has_it_once_whatever_the_organization_or_the_spelling_of_the_mailbox():
    make_campaign()
    user, _ = make_person("ada.l@gmail.com")
    redeem(user, organizations.create(name="One", owner=user))

    assert "for another organization" in refusal(user, organizations.create(name="Two", owner=user))
    assert "for another organization" in refusal(*make_person("adal+x@googlemail.com"))


def test_one_network_has_its_share_a_day():
    make_campaign(per_network_max=2)
    for number in range(2):
        redeem(*make_person(f"p{number}@example.com"), address=AT)

    late = make_person("late@example.com")
    assert "your network" in refusal(*late, address=AT.replace(".34", ".77"))
    assert redeem(*make_person("proxied@example.com"), address="10.0.0.1").amount_nanos == 5 * USD
    assert redeem(*late, address=AT, now=NOW + dt.timedelta(days=1, seconds=1)).amount_nanos == 5 * USD


def test_unverified_and_throw_away_addresses_get_nothing(settings):
    settings.SIGNUP_CREDIT_BLOCKED_DOMAINS = ["throw.example"]
    make_campaign()

    assert "Verify your mail address" in refusal(*make_person(is_verified=False))
    assert "throw-away" in refusal(*make_person("x@deep.throw.example"))


def test_strangers_and_members_redeem_nothing():
    make_campaign()
    _, organization = make_person()
    stranger, _ = make_person("eve@example.com")

    with pytest.raises(NotPermitted):
        redeem(stranger, organization)
    attempt = redeem(stranger, organizations.create(name="Hers", owner=stranger)).pk
    user, other = make_person("bob@example.com")
    Campaign.objects.update(redemptions_max=1)
    assert "used up" in refusal(user, other, attempt=attempt)  # somebody else's form


def test_whoever_guesses_has_to_wait():
    make_campaign()
    user, organization = make_person()

    for number in range(campaign_codes.MISSES_MAX):
        assert "no such code" in refusal(user, organization, code=f"GUESS-{number}\0")
    assert "Try again in an hour" in refusal(user, organization)
    assert CodeMiss.objects.count() == campaign_codes.MISSES_MAX

    assert redeem(user, organization, now=NOW + dt.timedelta(hours=1, seconds=1)).amount_nanos == 5 * USD


@pytest.mark.django_db(transaction=True)
def test_many_at_once_take_no_more_than_there_are():
    make_campaign(redemptions_max=3)
    people = [make_person(f"p{number}@example.com") for number in range(6)]
    outcomes = []

    def run(person):
        try:
            outcomes.append(redeem(*person).amount_nanos)
        except CodeRefused as refused:
            outcomes.append(str(refused))
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(person,)) for person in people]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]

    assert sorted(map(str, outcomes)) == sorted(["5000000000"] * 3 + ["This code is used up."] * 3)
    assert CodeRedemption.objects.count() == 3


def test_an_operator_makes_a_code_and_switches_it_off():
    browser = Client()
    operator = UserFactory(is_staff=True, is_superuser=True)
    browser.force_login(operator, backend="django.contrib.auth.backends.ModelBackend")
    form = {
        "code": "launch-day", "name": "launch", "reason": "Launch", "usd": "$2.50", "credit_days": "30", "redemptions_max": "0",
        "per_organization_max": "1", "per_network_max": "3", "is_open": "on", "ends_at_0": "", "ends_at_1": "",
    }  # fmt: skip

    assert browser.post("/operator/billing/campaign/add/", form).status_code == 302
    [made] = Campaign.objects.all()
    assert (made.code, made.amount_cents, made.created_by, made.is_open) == ("LAUNCH-DAY", 250, operator.email, True)
    redeem(*make_person(), code="launch-day")

    for wrong in ({"usd": "-1"}, {"usd": "1.005"}, {"usd": ""}, {"code": "ab"}, {"per_organization_max": "0"}):
        assert browser.post("/operator/billing/campaign/add/", form | {"code": "OTHER-CODE"} | wrong).status_code == 200
    assert Campaign.objects.count() == 1

    assert browser.post(f"/operator/billing/campaign/{made.pk}/change/", form | {"is_open": ""}).status_code == 302
    assert refusal(*make_person("late@example.com"), code="LAUNCH-DAY") == "This code is over."
    assert browser.get("/operator/billing/campaign/").status_code == 200
    assert browser.get("/operator/billing/coderedemption/").status_code == 200
    assert browser.get(f"/operator/billing/campaign/{made.pk}/delete/").status_code == 403
    assert AuditEvent.objects.filter(action="campaign.saved").count() == 2
    assert timezone.now() == NOW
