import logging
import statistics
import threading
import time

import pytest
from django.test import Client
from kombu import Connection
from kombu.pools import ProducerPool

from billing.models import StripeEvent
from billing.purchases import tasks
from tests.fakes.stripe import signed

ANSWERED_WITHIN_S = 0.1


def test_a_webhook_is_stored_and_answered_within_a_tenth_of_a_second(begin, stripe, broker):
    stripe.pay(begin(2_000).session)
    event = stripe.events("checkout.session.completed")[0]
    client = Client()
    times_s = []

    for number in range(40):
        body, signature = signed({**event, "id": f"evt_{number}"})
        began_s = time.perf_counter()
        answer = client.post("/webhooks/stripe", data=body, content_type="application/json", headers={"Stripe-Signature": signature})
        times_s.append(time.perf_counter() - began_s)
        assert answer.status_code == 200

    assert statistics.median(times_s) < ANSWERED_WITHIN_S
    assert StripeEvent.objects.count() == 40
    tasks._beside().submit(int).result()
    assert broker.llen("default") == 40


def test_a_broker_that_is_slow_keeps_no_webhook_waiting(begin, stripe, deliver, broker, monkeypatch):
    stripe.pay(begin(2_000).session)
    told = threading.Event()
    wake = tasks.wake
    monkeypatch.setattr(tasks, "wake", lambda *args: told.wait(30) and wake(*args))

    assert deliver(stripe.events("checkout.session.completed")[0]) == [200]

    assert broker.llen("default") == 0
    told.set()
    tasks._beside().submit(int).result()
    assert broker.llen("default") == 1


def test_a_broker_that_is_away_is_not_waited_for(monkeypatch, caplog):
    away = Connection("redis://127.0.0.1:1/0", transport_options=tasks._ONE_ATTEMPT)
    monkeypatch.setattr(tasks, "_producers", lambda _app: ProducerPool(away.Pool(1), limit=1))
    began_s = time.monotonic()

    with caplog.at_level(logging.WARNING):
        tasks.wake(tasks.process_event, 1)

    assert time.monotonic() - began_s < 5
    assert "waits for the sweep" in caplog.text


@pytest.mark.django_db
def test_a_connection_that_the_broker_has_closed_is_made_anew(broker):
    tasks.wake(tasks.process_event, 1)
    before = broker.llen("default")
    for client in broker.client_list():
        if client["id"] != str(broker.client_id()):
            broker.client_kill_filter(_id=client["id"])

    for _ in range(2):  # the first may find the line dead
        tasks.wake(tasks.process_event, 1)

    assert broker.llen("default") > before
