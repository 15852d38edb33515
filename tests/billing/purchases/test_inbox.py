import time

import pytest
from django.test import Client
from django.utils import timezone

from billing.models import StripeEvent
from billing.purchases import inbox
from tests.fakes.stripe import SECRET, signed

USD = 1_000_000_000


@pytest.fixture
def event(begin, stripe):
    stripe.pay(begin(2_000).session)
    return stripe.events("checkout.session.completed")[0]


def _post(body, signature):
    return (
        Client().post("/webhooks/stripe", data=body, content_type="application/json", headers={"Stripe-Signature": signature}).status_code
    )


def test_an_event_is_stored_once_and_answered_before_it_is_looked_into(event, deliver, books):
    assert deliver(event, event, event) == [200, 200, 200]

    stored = StripeEvent.objects.get()
    assert (stored.event_id, stored.type, stored.object_id) == (event["id"], event["type"], event["data"]["object"]["id"])
    assert stored.processed_at is None
    assert books() == {}


@pytest.mark.parametrize("how", ["wrong secret", "no signature", "stale", "changed", "empty", "not json", "bad header", "binary"])
def test_what_stripe_did_not_sign_just_now_is_refused_and_not_stored(event, how):
    body, signature = signed(event)
    match how:
        case "wrong secret":
            body, signature = signed(event, "whsec_other")
        case "no signature":
            signature = ""
        case "stale":
            body, signature = signed(event, at_s=int(time.time()) - 301)
        case "changed":
            body = body.replace('"amount_total":2110', '"amount_total":9110')
        case "empty":
            body = ""
        case "not json":
            from gateway.stripe_simulator.webhooks import sign  # noqa: PLC0415 -- signs what is no event

            body, signature = "hello", sign("hello", SECRET)
        case "bad header":
            signature = "t=yesterday,v1="
        case "binary":
            body = b"\xff\xfe"

    assert _post(body, signature) == 400
    assert StripeEvent.objects.count() == 0


def test_a_body_of_a_megabyte_is_refused(event):
    body, signature = signed({**event, "data": {"object": {"id": "x", "padding": "x" * 1_000_000}}})

    assert _post(body, signature) == 413
    assert StripeEvent.objects.count() == 0


def test_while_a_secret_is_changed_either_signature_will_do(event, settings):
    settings.STRIPE_WEBHOOK_SECRETS = ["whsec_new", "whsec_old"]

    assert _post(*signed(event, "whsec_old")) == 200
    assert _post(*signed(event, "whsec_unknown", "whsec_new")) == 200


def test_only_post_is_answered(client, db):
    assert client.get("/webhooks/stripe").status_code == 405


def test_an_event_whose_worker_died_is_looked_into_by_the_sweep(event, deliver, books):
    deliver(event)
    StripeEvent.objects.update(attempts=1, next_attempt_at=timezone.now())  # claimed once, then nothing

    assert inbox.process_due() == 1
    assert inbox.process_due() == 0
    assert books()["customer_credit"] == 20 * USD


def test_a_failure_is_kept_with_the_event_and_tried_again_after_a_pause(event, deliver, stripe, books):
    deliver(event)
    stripe.fail(f"GET /v1/checkout/sessions/{event['data']['object']['id']}", "500_before")

    assert inbox.process_due() == 0
    failed = StripeEvent.objects.get()
    assert (failed.attempts, failed.processed_at, failed.error.startswith("StripeDown")) == (1, None, True)
    assert failed.next_attempt_at > timezone.now()
    assert inbox.process_due() == 0

    StripeEvent.objects.update(next_attempt_at=timezone.now())
    assert inbox.process_due() == 1
    assert books()["customer_credit"] == 20 * USD


def test_events_that_never_came_are_fetched_and_stored(event, deliver, stripe, books):
    deliver(stripe.events()[0])

    missing = inbox.catch_up()

    assert missing == len(stripe.events()) - 1
    assert inbox.catch_up() == 0
    inbox.process_due()
    assert books()["customer_credit"] == 20 * USD


def test_more_events_than_one_page_are_all_fetched(event, stripe):
    for _ in range(150):
        stripe.account.tell("customer.created", stripe.newest("customer"))

    assert inbox.catch_up() == len(stripe.events())


def test_news_of_what_is_not_ours_is_stored_and_changes_nothing(stripe, deliver, organization, books):
    stranger = stripe.account.save_card("4242424242424242", customer=None)
    intent = {"id": "pi_unknown", "object": "payment_intent", "metadata": {}}
    deliver(
        stripe.account.tell("payout.paid", {"id": "po_1", "object": "payout"}), stripe.account.tell("payment_method.attached", stranger)
    )
    deliver(stripe.account.tell("payment_intent.succeeded", intent))

    inbox.process_due()

    assert StripeEvent.objects.filter(processed_at=None).count() == 1  # the payment that Stripe does not know; tried again
    assert books() == {}
