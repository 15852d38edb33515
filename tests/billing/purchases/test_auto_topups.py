import datetime as dt
import threading

import pytest
from django.core import mail
from django.db import connection
from django.utils import timezone

from accounts import organizations
from billing import queries
from billing.books import outbox, settlement
from billing.models import Notice, PaymentProfile, Purchase, PurchaseState
from billing.purchases import auto_settings, auto_topups, inbox, notices, profiles, stripe_api, stripe_customers, tasks, watch
from billing.purchases.checkout import PurchasesFrozen
from billing.purchases.shapes import SavedCard
from tests.billing import plane
from tests.factories.people import UserFactory

CENT = 10_000_000
USD = 1_000_000_000
CHARGE = "POST /v1/payment_intents"


def spend(organization, nanos):
    plane.spend(organization, nanos)
    settlement.settle_shard(shard=organization.shard)


def auto():
    return list(Purchase.objects.filter(kind="auto").order_by("created_at"))


def charges(stripe):
    return [intent for intent in stripe.account.store.newest("payment_intent") if intent["status"] == "succeeded"]


def kinds():
    return sorted(Notice.objects.values_list("kind", flat=True))


def test_a_balance_below_the_threshold_is_topped_up_once_with_fee_receipt_and_mail(topped, stripe, organization):
    topped()
    spend(organization, 15 * USD)
    assert auto_topups.top_up(organization) is None  # exactly at the threshold
    spend(organization, 1)

    made = auto_topups.top_up(organization)
    assert auto_topups.top_up(organization) is None

    assert (made.state, made.credit_cents, made.fee_cents, made.paid_with) == ("paid", 1_000, 80, "Visa ending in 4242")
    assert made.number == 2
    assert [intent["amount"] for intent in charges(stripe)] == [1_080, 2_110]
    assert queries.balance(organization).available_nanos == 15 * USD - 1
    assert kinds() == ["receipt"]


def test_usage_that_is_booked_wakes_the_top_up_at_once(topped, stripe, organization, monkeypatch, broker):
    topped()
    woken = []
    monkeypatch.setattr(tasks, "wake", lambda task, *args: woken.append((task.name, *args)))

    spend(organization, 14 * USD)
    assert woken == []
    spend(organization, 2 * USD)

    assert woken == [("billing.purchases.tasks.watch_balance", organization.pk)]
    tasks.watch_balance(organization.pk)
    assert [one.state for one in auto()] == ["paid"]


def test_the_sweep_tops_up_what_no_wake_up_told_of_and_no_stranger(topped, stripe, organization):
    topped()
    spend(organization, 16 * USD)
    stranger = organizations.create(name="Stranger", owner=UserFactory(), shard=organization.shard)

    assert watch.sweep() == 1

    assert [(one.organization, one.state) for one in auto()] == [(organization, "paid")]
    assert auto_topups.top_up(stranger) is None


def test_many_callers_at_once_make_one_charge(topped, stripe, organization):
    topped()
    spend(organization, 16 * USD)
    errors = []

    def work():
        try:
            auto_topups.top_up(organization)
        except Exception as error:  # noqa: BLE001 -- the test asserts that there was none
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert errors == []
    assert [one.state for one in auto()] == ["paid"]
    assert len(charges(stripe)) == 2
    assert queries.balance(organization).available_nanos == 14 * USD


def test_credit_that_the_money_store_has_not_heard_of_is_not_bought_again(topped, stripe, organization, monkeypatch):
    topped()
    spend(organization, 16 * USD)
    with monkeypatch.context() as patch:
        patch.setattr(outbox, "publish", lambda _organization: 0)
        assert auto_topups.top_up(organization).state == "paid"

    assert queries.balance(organization).available_nanos == 4 * USD
    assert auto_topups.top_up(organization) is None
    assert len(auto()) == 1


@pytest.mark.parametrize("fault", ["lost_after", "500_after", "lost_before", "429"])
def test_a_charge_whose_answer_is_lost_is_found_or_repeated_and_made_once(topped, stripe, organization, fault):
    topped()
    spend(organization, 16 * USD)
    stripe.fail(CHARGE, fault)
    assert auto_topups.top_up(organization).state == "charging"
    assert auto_topups.top_up(organization) is None
    assert auto_topups.sweep() == 0  # not yet

    later = timezone.now() + dt.timedelta(minutes=2)
    for _ in range(3):
        auto_topups.sweep(now=later)
        later += dt.timedelta(minutes=2)

    assert [one.state for one in auto()] == ["paid"]
    assert len(charges(stripe)) == 2
    assert queries.balance(organization).available_nanos == 14 * USD


def test_an_error_that_stripe_keeps_under_the_key_is_given_up_after_a_while_and_the_next_top_up_begins_anew(topped, stripe, organization):
    topped()
    spend(organization, 16 * USD)
    stripe.fail(CHARGE, "500_before")
    auto_topups.top_up(organization)

    for minutes in (2, 4, 16):
        auto_topups.sweep(now=timezone.now() + dt.timedelta(minutes=minutes))
    assert [one.state for one in auto()] == ["failed"]
    assert auto_topups.top_up(organization).state == "paid"

    assert len(charges(stripe)) == 2


def test_a_worker_that_died_before_or_after_the_charge_leaves_it_to_the_sweep(topped, stripe, organization, monkeypatch):
    topped()
    spend(organization, 16 * USD)

    class Crash(BaseException):
        pass

    def crash(*_args, **_fields):
        raise Crash

    with monkeypatch.context() as patch:
        patch.setattr(stripe_api, "charge_card", crash)
        with pytest.raises(Crash):
            auto_topups.top_up(organization)
    with monkeypatch.context() as patch:
        patch.setattr(auto_topups.fulfilment, "apply_payment", crash)
        with pytest.raises(Crash):
            auto_topups.sweep(now=timezone.now() + dt.timedelta(minutes=2))

    auto_topups.sweep(now=timezone.now() + dt.timedelta(minutes=6))

    assert [one.state for one in auto()] == ["paid"]
    assert len(charges(stripe)) == 2
    assert queries.balance(organization).available_nanos == 14 * USD


def test_the_webhooks_of_a_top_up_in_any_number_credit_it_once(topped, stripe, organization, deliver, monkeypatch):
    topped()
    spend(organization, 16 * USD)
    before = len(stripe.events())
    with monkeypatch.context() as patch:
        patch.setattr(auto_topups.fulfilment, "apply_payment", lambda purchase, _payment: purchase)
        assert auto_topups.top_up(organization).state == "charging"

    news = stripe.events()[before:]
    deliver(*news[::-1], *news)
    inbox.process_due()
    auto_topups.sweep(now=timezone.now() + dt.timedelta(minutes=2))

    assert [one.state for one in auto()] == ["paid"]
    assert queries.balance(organization).available_nanos == 14 * USD
    assert kinds() == ["receipt"]


def test_declines_back_off_an_hour_then_a_day_then_pause_with_a_mail_each(topped, stripe, organization, buyer, deliver):
    topped(card="4000 0000 0000 0341")
    stripe.account.behaviour_of(stripe.newest("payment_method"))
    spend(organization, 16 * USD)
    start = timezone.now()
    before = len(stripe.events())

    assert auto_topups.top_up(organization, now=start).state == "declined"
    deliver(*stripe.events()[before:])  # the webhook tells of the same decline
    inbox.process_due()
    assert auto_topups.top_up(organization, now=start + dt.timedelta(minutes=59)) is None
    assert auto_topups.top_up(organization, now=start + dt.timedelta(hours=1)).state == "declined"
    assert auto_topups.top_up(organization, now=start + dt.timedelta(hours=24)) is None
    assert auto_topups.top_up(organization, now=start + dt.timedelta(hours=25)).state == "declined"

    profile = PaymentProfile.objects.get(organization=organization)
    assert (profile.auto_failures, profile.auto_paused_for) == (3, "declined")
    assert auto_topups.top_up(organization, now=start + dt.timedelta(days=9)) is None
    assert kinds() == ["topup_declined"] * 3
    assert list(Notice.objects.order_by("pk").values_list("context__hours", flat=True)) == [1, 24, 0]
    assert auto()[0].failure == "Your card was declined."

    # A person looks and saves the settings: it begins anew.
    auto_settings.change_topup(
        organization=organization, by=buyer, enabled=True, threshold_nanos=5 * USD, amount_cents=1_000, monthly_cap_cents=3_000
    )
    assert auto_topups.top_up(organization).state == "declined"
    assert PaymentProfile.objects.get(organization=organization).auto_failures == 1


def test_a_bank_that_asks_for_the_owner_pauses_with_a_mail_and_another_card_goes_on(topped, stripe, organization):
    profile = topped(card="4000 0027 6000 3184")
    spend(organization, 16 * USD)

    assert auto_topups.top_up(organization).state == "needs_action"
    assert auto_topups.top_up(organization) is None
    assert kinds() == ["topup_needs_action"]
    assert PaymentProfile.objects.get(pk=profile.pk).auto_paused_for == "needs_action"

    method = stripe.account.save_card("5555555555554444", customer=profile.stripe_customer)
    profiles.keep_card(profile=profile, card=SavedCard(method["id"], "mastercard", "4444", "12/2030"))
    assert auto_topups.top_up(organization).state == "paid"


def test_a_card_that_is_gone_pauses_once_and_a_new_one_goes_on(topped, stripe, organization):
    profile = topped()
    spend(organization, 16 * USD)
    profiles.keep_card(profile=profile, card=None)

    assert auto_topups.top_up(organization) is None
    assert auto_topups.top_up(organization) is None
    assert kinds() == ["topup_paused"]

    profile.refresh_from_db()
    method = stripe.account.save_card("4242424242424242", customer=profile.stripe_customer)
    profiles.keep_card(profile=profile, card=SavedCard(method["id"], "visa", "4242", "12/2030"))
    assert auto_topups.top_up(organization).state == "paid"


def test_a_card_that_was_removed_at_stripe_counts_as_a_decline(topped, stripe, organization):
    topped()
    spend(organization, 16 * USD)
    stripe_customers.detach_card(card=PaymentProfile.objects.get().payment_method)

    assert auto_topups.top_up(organization).state == "declined"
    assert charges(stripe)[0]["amount"] == 2_110


def test_the_monthly_cap_stops_with_one_mail_and_ends_with_the_month(topped, stripe, organization):
    topped(monthly_cap_cents=1_500)
    spend(organization, 16 * USD)
    assert auto_topups.top_up(organization).state == "paid"
    spend(organization, 10 * USD)

    assert auto_topups.top_up(organization) is None
    assert auto_topups.top_up(organization) is None
    assert kinds() == ["receipt", "topup_capped"]

    month = timezone.now().replace(day=1) + dt.timedelta(days=32)
    assert auto_topups.top_up(organization, now=month).state == "paid"


def test_three_top_ups_in_ten_minutes_stop_it_with_an_alarm(topped, stripe, organization, caplog):
    topped(monthly_cap_cents=100_000)
    for _ in range(3):
        spend(organization, queries.balance(organization).available_nanos - 4 * USD)
        assert auto_topups.top_up(organization).state == "paid"
    spend(organization, queries.balance(organization).available_nanos - 4 * USD)

    assert auto_topups.top_up(organization) is None

    assert PaymentProfile.objects.get().auto_paused_for == "runaway"
    assert kinds() == ["receipt"] * 3 + ["topup_paused"]
    assert "runaway" in caplog.text
    assert auto_topups.top_up(organization, now=timezone.now() + dt.timedelta(hours=1)) is None


def test_nothing_is_charged_while_a_payment_is_disputed_or_the_switch_is_off(topped, organization, buyer):
    topped()
    spend(organization, 16 * USD)
    PaymentProfile.objects.update(frozen_at=timezone.now())
    assert auto_topups.top_up(organization) is None
    with pytest.raises(PurchasesFrozen):
        auto_settings.change_topup(
            organization=organization, by=buyer, enabled=True, threshold_nanos=USD, amount_cents=1_000, monthly_cap_cents=1_000
        )

    PaymentProfile.objects.update(frozen_at=None, auto_enabled=False)
    assert auto_topups.top_up(organization) is None
    assert auto() == []


def test_what_running_requests_hold_is_no_reason_to_charge_a_card(topped, organization):
    topped()
    event = plane.make_event(organization, 1, hold_nanos=19 * USD)
    assert plane.reserve(organization, event.event_id, 19 * USD) == "OK"

    assert auto_topups.top_up(organization) is None


def test_a_charge_that_was_never_made_is_given_up_when_it_was_switched_off_meanwhile(topped, stripe, organization):
    topped()
    spend(organization, 16 * USD)
    stripe.fail(CHARGE, "lost_before")
    auto_topups.top_up(organization)
    PaymentProfile.objects.update(auto_enabled=False)

    auto_topups.sweep(now=timezone.now() + dt.timedelta(minutes=2))

    assert [(one.state, one.failure) for one in auto()] == [(PurchaseState.FAILED, "The card was never charged.")]
    assert len(charges(stripe)) == 1


def test_every_mail_can_be_read(topped, organization):
    topped()
    for number, (kind, context) in enumerate(
        [
            (
                "topup_declined",
                {"credit_cents": 1_000, "total_cents": 1_080, "card": "Visa ending in 0341", "message": "Declined.", "hours": 24},
            ),
            (
                "topup_declined",
                {"credit_cents": 1_000, "total_cents": 1_080, "card": "Visa ending in 0341", "message": "Declined.", "hours": 0},
            ),
            ("topup_needs_action", {"credit_cents": 1_000, "total_cents": 1_080, "card": "Visa ending in 3184"}),
            ("topup_paused", {"reason": "no_card"}),
            ("topup_paused", {"reason": "runaway"}),
            ("topup_paused", {"reason": "amount"}),
            ("topup_capped", {"cap_cents": 1_500, "month": "March 2027"}),
        ]
    ):
        notices.write(organization=organization, kind=kind, key=f"read-{number}", context=context)
    for notice in Notice.objects.filter(sent_at=None, key__startswith="read-"):
        notices.send(notice_id=notice.pk)

    bodies = "\n".join(f"{one.subject}\n{one.body}" for one in mail.outbox)
    for words in (
        "Visa ending in 0341 was not charged $10.80 for Acme: Declined.",
        "We try again in 24 hours.",
        "That was the third time",
        "/credits?amount=10\n",
        "no saved card",
        "three times within ten minutes",
        "beyond the $15 that you allow",
    ):
        assert words in bodies
