"""The Celery application and every periodic job with its period in seconds or its time of day in UTC.

Messages are wake-ups; money never travels in one.
"""

import gc
import os
from typing import Any

from celery import Celery
from celery.schedules import crontab
from celery.signals import worker_init, worker_process_init

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "gateway.settings")

_YOUNG_OBJECTS_MAX = 50_000  # a batch of settlement makes some 20,000, which die with it

app = Celery("tollway")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
app.autodiscover_tasks(["billing.purchases", "billing.proof", "billing.reconciliation"])


@worker_init.connect  # type: ignore[untyped-decorator]
def _give_way(**_: Any) -> None:
    """Let requests go first where workers and gateways share a machine: the books may be a second behind, an answer may not."""
    from django.conf import settings  # noqa: PLC0415 -- not before Celery has read them

    os.nice(settings.WORKER_NICENESS)


@worker_process_init.connect  # type: ignore[untyped-decorator]
def collect_rarely(**_: Any) -> None:
    """Let the collector of garbage leave alone what was imported. It looked at all of it again and again while a batch was booked."""
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS_MAX)


# I9 to I12 are daily: the reconciliation and the nightly check of everything.
INVARIANT_PERIODS_S = {
    "I1": 60.0,
    "I2": 300.0,
    "I3": 300.0,
    "I4": 30.0,
    "I5": 30.0,
    "I6": 60.0,
    "I7": 60.0,
    "I8": 10.0,
    "I13": 300.0,
    "I14": 30.0,
}

app.conf.beat_schedule = {
    # Book what the data plane has settled: at most a second behind.
    "settle": {"task": "billing.tasks.settle_due", "schedule": 1.0, "options": {"expires": 1.0, "queue": "ledger"}},
    # Credits, limits and key states that have not reached the money store yet.
    "publish": {"task": "billing.tasks.publish_pending", "schedule": 2.0, "options": {"expires": 2.0}},
    # Holds whose gateway died.
    "reap": {"task": "billing.tasks.reap_expired_holds", "schedule": 2.0, "options": {"expires": 2.0, "queue": "ledger"}},
    # Granted credit whose time is over.
    "expire-credit": {"task": "billing.tasks.expire_credit", "schedule": 60.0, "options": {"expires": 60.0}},
    # Sign-up credit of those who waited for a free place.
    "signup-credit": {"task": "billing.tasks.grant_signup_credit", "schedule": 900.0, "options": {"expires": 900.0}},
    # Day partitions of the usage table, a week ahead.
    "partitions": {"task": "billing.tasks.make_partitions", "schedule": 3600.0, "options": {"expires": 600.0}},
    # Days of usage older than the retention, into files.
    "archive-usage": {"task": "billing.tasks.archive_usage", "schedule": crontab(hour=2, minute=10), "options": {"expires": 3600.0}},
    # Scheduled prices and markups whose moment has come: two small queries, so that none waits.
    "prices": {"task": "catalog.tasks.publish_due", "schedule": 1.0, "options": {"expires": 1.0}},
    # Fresh price lists, compared and proposed for review.
    "fresh-prices": {"task": "catalog.tasks.propose_prices", "schedule": 86_400.0, "options": {"expires": 3600.0}},
    # The invariants of the books, each in its own time; those of the money store look at a tenth of the shards at a time.
    **{
        f"invariant-{name}": {
            "task": "billing.proof.tasks.check_invariant",
            "args": [name],
            "schedule": period_s,
            "options": {"expires": period_s},
        }
        for name, period_s in INVARIANT_PERIODS_S.items()
    },
    # What Stripe and the providers bill, beside the books.
    "reconcile": {
        "task": "billing.reconciliation.tasks.reconcile_daily",
        "schedule": crontab(hour=4, minute=40),
        "options": {"expires": 3600.0},
    },
    # Everything ever booked, once a night.
    "verify-all": {"task": "billing.tasks.verify_all_books", "schedule": crontab(hour=3, minute=20), "options": {"expires": 3600.0}},
    # Stripe's events whose first look failed or was never begun.
    "stripe-events": {"task": "billing.purchases.tasks.process_due_events", "schedule": 15.0, "options": {"expires": 15.0}},
    # Events that never came: Stripe is asked.
    "stripe-catch-up": {"task": "billing.purchases.tasks.catch_up", "schedule": 3600.0, "options": {"expires": 600.0}},
    # Purchases and refunds that have been on their way for a while.
    "purchases": {"task": "billing.purchases.tasks.sweep_purchases", "schedule": 120.0, "options": {"expires": 120.0}},
    # Balances that fell while nobody was told: warnings and auto top-ups.
    "balances": {"task": "billing.purchases.tasks.watch_balances", "schedule": 30.0, "options": {"expires": 30.0}},
    # Granted credit that ends within a week: a mail, once.
    "expiry-mails": {"task": "billing.purchases.tasks.remind_of_expiry", "schedule": 3600.0, "options": {"expires": 3600.0}},
    # Mails that a mail server refused, or that nobody sent.
    "notices": {"task": "billing.purchases.tasks.send_waiting_notices", "schedule": 60.0, "options": {"expires": 60.0}},
}
