"""Is everything set up that buying needs, here and at Stripe? Looks only: nothing is made, changed or booked."""

from collections.abc import Callable, Generator, Iterator
from typing import Final, Literal, NamedTuple

from django.conf import settings

from billing.purchases import stripe_api, stripe_setup
from billing.purchases.stripe_api import API_VERSION, StripeDown, StripeRefused

Level = Literal["ok", "note", "missing"]

# What the inbox looks into (inbox.py). Without one of them the hourly look for missed events still finds it, an hour late.
EVENTS: Final = (
    "checkout.session.completed", "checkout.session.expired", "checkout.session.async_payment_succeeded",
    "checkout.session.async_payment_failed", "payment_intent.succeeded", "payment_intent.payment_failed", "payment_intent.processing",
    "payment_intent.canceled", "charge.succeeded", "charge.refunded", "charge.dispute.created", "charge.dispute.updated",
    "charge.dispute.closed", "charge.dispute.funds_withdrawn", "charge.dispute.funds_reinstated", "refund.created", "refund.updated",
    "refund.failed", "payment_method.attached", "payment_method.detached", "payment_method.updated", "customer.updated",
)  # fmt: skip
_LIVE: Final = ("sk_live_", "rk_live_")
_TEST: Final = ("sk_test_", "rk_test_")


class Finding(NamedTuple):
    """One thing that was looked at: fine, good to know, or missing with what to do about it."""

    level: Level
    subject: str
    text: str


def check() -> Iterator[Finding]:
    """Yield what was found, in the order in which an operator sets things up."""
    yield from _key()
    if not stripe_api.is_configured():
        return
    reached = yield from _ask("account", _account)
    if not reached:
        return  # everything else would say the same
    looks = (("balance", _balance), ("webhook", _webhook), ("portal", _portal), ("tax", _tax))
    for subject, look in looks:
        yield from _ask(subject, look)
    yield from _seller()


def _ask(subject: str, look: Callable[[], Iterator[Finding]]) -> Generator[Finding, None, bool]:
    """Yield what a look finds, or why Stripe did not let us look. Returns whether it did."""
    try:
        yield from look()
    except StripeRefused as refused:
        yield Finding("missing", subject, f"Stripe refuses to tell: {refused} A restricted key needs the right to read this.")
    except StripeDown as down:
        yield Finding("missing", subject, f"Stripe does not answer: {down}")
        return False
    else:
        return True
    return subject != "account"


def _key() -> Iterator[Finding]:
    key = settings.STRIPE_SECRET_KEY
    if not key:
        yield Finding("missing", "key", "STRIPE_SECRET_KEY is not set: nothing can be bought.")
    elif settings.STRIPE_API_URL:
        yield Finding("note", "key", f"A simulation stands in for Stripe ({settings.STRIPE_API_URL}): no money moves.")
    elif key.startswith(_LIVE):
        yield Finding("ok", "key", "A live key: customers are charged.")
        if settings.DEMO_MODE:
            yield Finding("missing", "demo", "DEMO_MODE is on with a live key: set DEMO_MODE=0.")
        if not settings.PUBLIC_URL.startswith("https://"):
            yield Finding("missing", "address", "PUBLIC_URL does not begin with https://: Stripe sends live events to no other.")
    elif key.startswith(_TEST):
        yield Finding("note", "key", "A test key: test cards only, no money moves.")
    else:
        yield Finding("missing", "key", "STRIPE_SECRET_KEY is no secret key: it begins with sk_live_, sk_test_, rk_live_ or rk_test_.")
    yield Finding("ok", "version", f"Every request names version {API_VERSION} of Stripe's API.")


def _account() -> Iterator[Finding]:
    if stripe_setup.may_charge():
        yield Finding("ok", "account", "The account may charge.")
    else:
        yield Finding("missing", "account", "The account may not charge yet: finish its activation at Stripe.")


def _balance() -> Iterator[Finding]:
    stripe_api.read_balance_cents()
    yield Finding("ok", "balance", "The balance can be read: the daily reconciliation works.")


def _webhook() -> Iterator[Finding]:
    secrets = settings.STRIPE_WEBHOOK_SECRETS
    if not secrets:
        yield Finding("missing", "webhook secret", "STRIPE_WEBHOOK_SECRET is not set: no event is believed.")
    elif any(not secret.startswith("whsec_") for secret in secrets):
        yield Finding("missing", "webhook secret", "STRIPE_WEBHOOK_SECRET is none: each begins with whsec_.")
    else:
        yield Finding("ok", "webhook secret", f"{len(secrets)} set. Whether it is this endpoint's shows with the first event.")
    url = f"{settings.PUBLIC_URL}/webhooks/stripe"
    ours = next((one for one in stripe_setup.endpoints() if one.url.rstrip("/") == url), None)
    if ours is None:
        yield Finding("missing", "webhook", f"No endpoint at Stripe has the address {url}. Add it with the events below.")
        yield Finding("note", "webhook events", ", ".join(EVENTS))
        return
    absent = [] if "*" in ours.events else [event for event in EVENTS if event not in ours.events]
    if not ours.is_enabled:
        yield Finding("missing", "webhook", f"The endpoint {url} is disabled at Stripe.")
    elif absent:
        yield Finding("missing", "webhook", f"The endpoint is not sent {', '.join(absent)}.")
    else:
        yield Finding("ok", "webhook", f"Events go to {url}.")
    if ours.version not in {"", API_VERSION}:
        # Events are only a reason to look: the object is fetched again in our version.
        yield Finding("note", "webhook version", f"The endpoint speaks {ours.version}; its objects are fetched again in ours.")


def _portal() -> Iterator[Finding]:
    match stripe_setup.portal_shows_cards():
        case None:
            yield Finding("missing", "portal", "The customer portal is not set up: save its settings once at Stripe (Settings, Billing).")
        case False:
            yield Finding("missing", "portal", "Customers cannot change cards in the portal: switch payment methods on in its settings.")
        case _:
            yield Finding("ok", "portal", "Customers can change their cards in the portal.")


def _tax() -> Iterator[Finding]:
    if not settings.STRIPE_AUTOMATIC_TAX:
        yield Finding("note", "tax", "STRIPE_AUTOMATIC_TAX is off: no tax is added to purchases and top-ups.")
        return
    lacks = stripe_setup.tax_lacks()
    countries = [] if lacks is not None else stripe_setup.tax_countries()
    if lacks is not None:
        yield Finding(
            "missing", "tax", f"Stripe Tax is not active, so Checkout refuses. It lacks: {', '.join(lacks) or 'see its settings'}."
        )
    elif not countries:
        yield Finding("missing", "tax", "Stripe Tax has no registration: every tax would be zero. Add where you are registered.")
    else:
        yield Finding("ok", "tax", f"Tax is computed and collected in {', '.join(countries)}.")


def _seller() -> Iterator[Finding]:
    lacking = [name for name in ("SELLER_ADDRESS", "SELLER_TAX_ID") if not getattr(settings, name)]
    if lacking:
        yield Finding("note", "receipts", f"{' and '.join(lacking)} not set: receipts are no invoices in many countries without.")
    else:
        yield Finding("ok", "receipts", f"Receipts are in the name of {settings.SELLER_NAME}.")
