"""Credit for signing up: once per person and mailbox, when the mail address is verified, within the operator's limits.

What a claim came to is kept, so that it can neither be made twice nor be argued about. Addresses and networks are kept as keyed hashes.
"""

import datetime as dt
import ipaddress
import logging
from typing import Any, Final

from allauth.account.adapter import get_adapter
from allauth.account.models import EmailAddress
from django.conf import settings
from django.db import connection, transaction
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.crypto import salted_hmac

from accounts.models import Membership, Organization, Role, User
from billing.books import transfers
from billing.models import SignupCredit, SignupCreditState
from billing.money import NANOS_PER_CENT

REASON: Final = "Welcome credit"
CAMPAIGN: Final = "sign-up"
_LOCK: Final = 0x77656C63  # 'welc': claims are decided one at a time, so that limits hold to the unit
_SALT: Final = "billing.signup_credit"
_LOOK_BACK: Final = dt.timedelta(days=7)
_WAITS: Final = "Today's places are taken; it comes on one of the next days."
# Providers that ignore dots, and another name of the same one.
_DOTLESS: Final = {"gmail.com"}
_SAME_AS: Final = {"googlemail.com": "gmail.com"}

_log = logging.getLogger(__name__)


def claim(*, user: User, email: str, address: str = "", now: dt.datetime | None = None) -> SignupCredit | None:
    """Decide about a person's sign-up credit and grant it. ``email`` is verified; ``address`` is the visitor's IP address, '' if unknown.

    A repeat returns what was decided. None when there is no such credit, the person owns no organization, or another account of the same
    mailbox has claimed it.
    """
    if settings.SIGNUP_CREDIT_CENTS <= 0:
        return None
    moment = now or timezone.now()
    with transaction.atomic():
        _serialize()
        known = SignupCredit.objects.filter(user=user).first()
        organization = _organization_of(user)
        if known is not None or organization is None:
            return known
        mailbox, domain = mailbox_of(email)
        if SignupCredit.objects.filter(mailbox_hash__in=hashes_of(mailbox)).exists():
            _log.info("sign-up credit of user %s: the mailbox had it before", user.pk)
            return None
        network = network_of(address)
        made = SignupCredit(
            user=user,
            organization=organization,
            mailbox_hash=hashes_of(mailbox)[0],
            network_hash=hashes_of(network)[0] if network else "",
            domain=domain,
            state=SignupCreditState.WAITING,
        )
        made.reason = _refusal(made, moment)
        if made.reason:
            made.state = SignupCreditState.REFUSED
        made.save()
        return made if made.reason else _grant(made, organization, moment)


def sweep(*, now: dt.datetime | None = None, limit: int = 500) -> int:
    """Grant to those who waited for a free place, and to whom a crash kept from claiming. Return how many were granted."""
    if settings.SIGNUP_CREDIT_CENTS <= 0:
        return 0
    moment = now or timezone.now()
    granted = 0
    for pk in list(SignupCredit.objects.filter(state=SignupCreditState.WAITING).order_by("pk").values_list("pk", flat=True)[:limit]):
        with transaction.atomic():
            _serialize()
            waiting = SignupCredit.objects.select_related("organization", "user").filter(pk=pk, state=SignupCreditState.WAITING).first()
            if waiting is None or waiting.organization is None:
                continue
            if _grant(waiting, waiting.organization, moment).state == SignupCreditState.WAITING:
                break
            granted += 1
    claimed = SignupCredit.objects.filter(user__isnull=False).values("user")
    fresh = EmailAddress.objects.filter(verified=True, primary=True, user__date_joined__gt=moment - _LOOK_BACK).exclude(user__in=claimed)
    for verified in fresh.select_related("user").order_by("pk")[:limit]:
        made = claim(user=verified.user, email=verified.email, now=moment)
        granted += made is not None and made.state == SignupCreditState.GRANTED
    return granted


def on_email_confirmed(*, request: HttpRequest | None = None, email_address: EmailAddress, **_: Any) -> None:
    """Claim for whoever has verified an address. Receiver of allauth's signal: it must not be able to spoil the verification."""
    try:
        address = get_adapter().get_client_ip(request) if request is not None else ""
        claim(user=email_address.user, email=email_address.email, address=address)
    except Exception:  # noqa: BLE001 -- whatever it was, the sweep claims again
        _log.exception("sign-up credit of user %s could not be decided", email_address.user_id)


def mailbox_of(email: str) -> tuple[str, str]:
    """Return the mailbox behind an address, without tags and without dots where they mean nothing, and its domain."""
    local, _, domain = email.strip().lower().rpartition("@")
    domain = _SAME_AS.get(domain, domain)
    local = local.partition("+")[0]
    return f"{local.replace('.', '') if domain in _DOTLESS else local}@{domain}", domain


def network_of(address: str) -> str:
    """Return the network of an address, /24 or /48; '' for what is no public address, such as that of a proxy."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return ""
    if not ip.is_global:
        return ""
    return str(ipaddress.ip_network(f"{ip}/{24 if ip.version == 4 else 48}", strict=False))  # noqa: PLR2004 -- a version


def is_blocked(domain: str) -> bool:
    """Tell whether a domain, or one above it, gives away mailboxes to throw away."""
    parents = domain.split(".")
    return bool({".".join(parents[start:]) for start in range(len(parents))} & set(settings.SIGNUP_CREDIT_BLOCKED_DOMAINS))


def _refusal(made: SignupCredit, moment: dt.datetime) -> str:
    """Return why the claim is refused for good, '' when it is not."""
    if is_blocked(made.domain):
        return "The domain is blocked."
    is_open = made.domain in settings.SIGNUP_CREDIT_OPEN_DOMAINS
    if not is_open and _granted().filter(domain=made.domain).count() >= settings.SIGNUP_CREDIT_A_DOMAIN:
        return "The domain has had as many as it may."
    from_network = _granted().filter(network_hash=made.network_hash, granted_at__gt=moment - dt.timedelta(days=1))
    if made.network_hash and from_network.count() >= settings.SIGNUP_CREDIT_A_NETWORK:
        return "The network has had as many as it may in a day."
    return ""


def _grant(made: SignupCredit, organization: Organization, moment: dt.datetime) -> SignupCredit:
    """Grant if today has a place left, else let it wait."""
    midnight = moment.astimezone(dt.UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    if _granted().filter(granted_at__gte=midnight).count() >= settings.SIGNUP_CREDIT_A_DAY:
        made.reason = _WAITS
        made.save(update_fields=["reason"])
        return made
    amount_nanos = settings.SIGNUP_CREDIT_CENTS * NANOS_PER_CENT
    days = settings.SIGNUP_CREDIT_DAYS
    transfers.grant(
        organization=organization,
        amount_nanos=amount_nanos,
        reason=REASON,
        idempotency_key=f"signup:{made.pk}",
        by=None,
        expires_at=moment + dt.timedelta(days=days) if days else None,
        campaign=CAMPAIGN,
    )
    made.state, made.reason, made.amount_nanos, made.granted_at = SignupCreditState.GRANTED, "", amount_nanos, moment
    made.save(update_fields=["state", "reason", "amount_nanos", "granted_at"])
    return made


def _granted() -> QuerySet[SignupCredit]:
    return SignupCredit.objects.filter(state=SignupCreditState.GRANTED)


def _organization_of(user: User) -> Organization | None:
    owned = Membership.objects.filter(user=user, role=Role.OWNER).select_related("organization").order_by("pk").first()
    return owned.organization if owned else None


def hashes_of(text: str) -> list[str]:
    """Return the hash to keep, then those that earlier keys would have made."""
    keys = [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]
    return [salted_hmac(_SALT, text, secret=key, algorithm="sha256").hexdigest() for key in keys]


def _serialize() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
