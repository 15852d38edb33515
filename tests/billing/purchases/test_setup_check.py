"""What `check_stripe` finds, and that it only looks."""

import pytest
from django.core.management import CommandError, call_command

from billing.models import StripeEvent, Transfer
from billing.purchases import inbox, setup_check

pytestmark = pytest.mark.django_db


@pytest.fixture
def ready(stripe, settings):
    """Set everything up, here and at Stripe."""
    settings.PUBLIC_URL = "https://tollway.example"
    settings.STRIPE_AUTOMATIC_TAX = True
    settings.SELLER_ADDRESS, settings.SELLER_TAX_ID = "Street 1|Town", "DE1"
    stripe.account.setup["webhook_url"] = "https://tollway.example/webhooks/stripe"
    return stripe


def found(level="missing"):
    return {one.subject: one.text for one in setup_check.check() if one.level == level}


def test_when_all_is_set_up_the_command_says_so_and_changes_nothing(ready, capsys):
    call_command("check_stripe")

    said = capsys.readouterr().out
    assert "Everything that buying needs is set up." in said
    assert "ok       webhook: Events go to https://tollway.example/webhooks/stripe." in said
    assert {call.split()[0] for call in ready.calls} == {"GET"}
    assert (Transfer.objects.count(), StripeEvent.objects.count(), ready.events()) == (0, 0, [])


@pytest.mark.parametrize(
    ("change", "subject", "word"),
    [
        ({"charges_enabled": False}, "account", "may not charge yet"),
        ({"webhook_url": ""}, "webhook", "No endpoint at Stripe has the address https://tollway.example/webhooks/stripe"),
        ({"webhook_events": ["charge.succeeded"]}, "webhook", "is not sent checkout.session.completed"),
        ({"has_portal": False}, "portal", "not set up"),
        ({"portal_cards": False}, "portal", "cannot change cards"),
        ({"tax_is_active": False}, "tax", "It lacks: head_office"),
        ({"tax_registered_in": ""}, "tax", "no registration"),
    ],
)
def test_what_is_missing_at_stripe_is_named_with_what_to_do(ready, change, subject, word):
    ready.account.setup.update(change)

    assert [(name, word in text) for name, text in found().items()] == [(subject, True)]
    with pytest.raises(CommandError, match="1 thing is missing"):
        call_command("check_stripe")


@pytest.mark.parametrize(
    ("change", "subject", "word"),
    [
        ({"STRIPE_SECRET_KEY": ""}, "key", "not set"),
        ({"STRIPE_WEBHOOK_SECRETS": []}, "webhook secret", "no event is believed"),
        ({"STRIPE_WEBHOOK_SECRETS": ["sk_test_x"]}, "webhook secret", "begins with whsec_"),
        ({"STRIPE_SECRET_KEY": "sk_live_x", "DEMO_MODE": False}, "account", "Stripe refuses to tell"),
    ],
)
def test_what_is_missing_here_is_named_too(ready, settings, change, subject, word):
    for name, value in change.items():
        setattr(settings, name, value)

    assert [(name, word in text) for name, text in found().items()] == [(subject, True)]


def test_a_key_that_is_none_and_a_live_one_in_a_demo_are_noticed(ready, settings, monkeypatch):
    monkeypatch.setattr(setup_check.stripe_setup, "may_charge", lambda: False)
    settings.STRIPE_API_URL, settings.STRIPE_SECRET_KEY = "", "pk_live_x"
    assert "no secret key" in next(one for one in setup_check.check() if one.subject == "key").text

    settings.STRIPE_SECRET_KEY, settings.DEMO_MODE, settings.PUBLIC_URL = "sk_live_x", True, "http://tollway.example"
    before = [one.subject for one in _until(setup_check.check(), "version")]
    assert before == ["key", "demo", "address", "version"]


def _until(findings, subject):
    for one in findings:
        yield one
        if one.subject == subject:
            return


def test_when_stripe_does_not_answer_it_says_so_once(ready):
    ready.fail("GET /v1/account", "500_before")

    assert list(found()) == ["account"]
    assert found() == {}


def test_without_automatic_tax_nothing_is_asked_of_stripe_tax(ready, settings):
    settings.STRIPE_AUTOMATIC_TAX = False
    ready.account.setup["tax_is_active"] = False

    assert (found(), "is off" in found("note")["tax"]) == ({}, True)
    assert not any("/v1/tax/" in call for call in ready.calls)


def test_every_event_that_is_asked_for_is_looked_into():
    assert [event for event in setup_check.EVENTS if inbox._handler_of(event) is inbox._ignore] == []
