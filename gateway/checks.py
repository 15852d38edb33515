"""Settings that contradict each other stop the start: `manage.py check`, which every command and the container's start run first."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register  # noqa: A004 -- Django's name

from billing.books.arrivals import KEPT_AT_LEAST_DAYS

_LIVE_STRIPE_KEYS = ("sk_live_", "rk_live_")
_SECRET_KEY_MIN = 32
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}


@register("tollway")
def check_contradictions(app_configs: Sequence[AppConfig] | None, **_: Any) -> list[CheckMessage]:  # noqa: ARG001 -- Django's signature
    """Return what must not be on at once, and what customers' money makes unwise."""
    takes_money = settings.STRIPE_SECRET_KEY.startswith(_LIVE_STRIPE_KEYS)
    is_public = urlsplit(settings.PUBLIC_URL).hostname not in _LOOPBACK
    shares_store = _server_of(settings.REDIS_URL) == _server_of(settings.BROKER_REDIS_URL)
    rules: list[tuple[bool, CheckMessage]] = [
        (
            settings.DEMO_MODE and takes_money,
            Error("DEMO_MODE is on with a live Stripe key: customers would pay for simulated answers. Set DEMO_MODE=0.", id="tollway.E001"),
        ),
        (
            settings.DEBUG and settings.HTTPS,
            Error("DEBUG is on with an https PUBLIC_URL: error pages would show secrets to the world. Set DEBUG=0.", id="tollway.E002"),
        ),
        (
            bool(settings.STRIPE_SECRET_KEY) and not settings.STRIPE_WEBHOOK_SECRETS,
            Error("STRIPE_SECRET_KEY is set without STRIPE_WEBHOOK_SECRET: payments would never be credited. Set both.", id="tollway.E003"),
        ),
        (
            takes_money and not settings.HTTPS,
            Error("A live Stripe key needs PUBLIC_URL to begin with https://.", id="tollway.E004"),
        ),
        (
            takes_money and bool(settings.STRIPE_API_URL),
            Error("STRIPE_API_URL is set with a live Stripe key: payments would go to a simulation. Unset it.", id="tollway.E007"),
        ),
        (
            len(settings.SECRET_KEY) < _SECRET_KEY_MIN,
            Error(f"SECRET_KEY is shorter than {_SECRET_KEY_MIN} characters; it seals provider credentials.", id="tollway.E005"),
        ),
        (
            settings.DEMO_MODE and not settings.SIMULATOR_URL,
            Warning("DEMO_MODE is on without SIMULATOR_URL: nothing answers for providers without credentials.", id="tollway.W003"),
        ),
        (
            settings.MARKUP_BASIS_POINTS < 0,
            Error("MARKUP_BASIS_POINTS is below zero: every request would lose money.", id="tollway.E006"),
        ),
        (
            settings.USAGE_RETENTION_DAYS < KEPT_AT_LEAST_DAYS,
            Error(f"USAGE_RETENTION_DAYS is below {KEPT_AT_LEAST_DAYS}: usage may still arrive for those days.", id="tollway.E008"),
        ),
        (
            takes_money and shares_store,
            Warning("The money store also serves as broker; give BROKER_REDIS_URL a server of its own.", id="tollway.W001"),
        ),
        (
            is_public and settings.ACCOUNT_EMAIL_VERIFICATION != "mandatory" and takes_money,
            Warning("Anyone can sign up with anybody's address; set ACCOUNT_EMAIL_VERIFICATION=mandatory.", id="tollway.W002"),
        ),
    ]
    return [message for applies, message in rules if applies]


def _server_of(url: str) -> str:
    return urlsplit(url).netloc.rpartition("@")[2]
