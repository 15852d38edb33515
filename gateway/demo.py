"""The demo's people, organization, keys and credit, so that a newcomer's first request works. Idempotent."""

from dataclasses import dataclass
from typing import Final

from allauth.account.models import EmailAddress
from django.db import transaction

from accounts import api_keys, key_format, organizations
from accounts.models import ApiKey, Membership, Organization, Role, User
from billing.books import transfers

ORGANIZATION_NAME: Final = "Demo"
CREDIT_NANOS: Final = 25_000_000_000
_CREDIT_KEY: Final = "demo-credit"


class BadDemoAccess(ValueError):
    """A demo secret cannot be used; the text names the variable, never the value."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class DemoAccess:
    """Who can sign in and which keys work. All secrets: never printed, hence no repr."""

    email: str
    password: str
    admin_email: str
    admin_password: str
    api_key: str
    management_key: str

    @classmethod
    def from_env_text(cls, text: str) -> "DemoAccess":
        """Read ``NAME=value`` lines, as the launcher writes demo.env; other names are ignored. Raises: BadDemoAccess."""
        values: dict[str, str] = {}
        for line in text.splitlines():
            name, found, value = line.strip().removeprefix("export ").partition("=")
            if found and not name.startswith("#"):
                values[name.strip()] = value.strip().strip("'\"")
        fields = {}
        for field in cls.__dataclass_fields__:
            variable = f"TOLLWAY_{field.upper()}"
            if not values.get(variable):
                msg = f"{variable} is missing or empty"
                raise BadDemoAccess(msg)
            fields[field] = values[variable]
        return cls(**fields)


@transaction.atomic
def seed(*, access: DemoAccess) -> Organization:
    """Make whatever of the demo is missing and return its organization.

    Passwords are set to the given ones, keys to the given secrets; a key that was deleted stays deleted. The credit is granted once,
    however often this runs. Raises: BadDemoAccess.
    """
    for variable, secret in (("TOLLWAY_API_KEY", access.api_key), ("TOLLWAY_MANAGEMENT_KEY", access.management_key)):
        if not key_format.is_well_formed(secret):
            msg = (
                f"{variable} is not a key of ours: '{key_format.PREFIX}' and 64 hex digits with their checksum. Unset it to get a new one."
            )
            raise BadDemoAccess(msg)
    if access.email.lower() == access.admin_email.lower():
        msg = "TOLLWAY_EMAIL and TOLLWAY_ADMIN_EMAIL must differ: the operator is not the demo's customer"
        raise BadDemoAccess(msg)
    _ensure_user(access.admin_email, access.admin_password, is_operator=True)
    owner = _ensure_user(access.email, access.password, is_operator=False)
    organization = _ensure_organization(owner)
    _ensure_key(organization, owner, access.api_key, name="Demo key", is_management=False)
    _ensure_key(organization, owner, access.management_key, name="Demo management key", is_management=True)
    transfers.grant(organization=organization, amount_nanos=CREDIT_NANOS, reason="Demo credit", idempotency_key=_CREDIT_KEY, by=None)
    return organization


def _ensure_user(email: str, password: str, *, is_operator: bool) -> User:
    email = email.lower()
    user = User.objects.filter(email=email).first()
    if user is None:
        make = User.objects.create_superuser if is_operator else User.objects.create_user
        user = make(email, password)
    elif not user.check_password(password):
        user.set_password(password)
        user.save(update_fields=["password"])
    EmailAddress.objects.get_or_create(user=user, email=email, defaults={"verified": True, "primary": True})
    return user


def _ensure_organization(owner: User) -> Organization:
    # By ownership, not by name: renaming it must not bring a second one, with credit of its own.
    owned = Membership.objects.filter(user=owner, role=Role.OWNER).select_related("organization").order_by("pk").first()
    return owned.organization if owned is not None else organizations.create(name=ORGANIZATION_NAME, owner=owner)


def _ensure_key(organization: Organization, owner: User, secret: str, *, name: str, is_management: bool) -> None:
    found = ApiKey.objects.filter(hash=key_format.hash_secret(secret)).first()
    if found is None:
        api_keys.create(organization=organization, name=name, by=owner, is_management=is_management, secret=secret)
    elif found.organization_id != organization.pk or found.is_management != is_management:
        msg = f"the secret given for '{name}' is already another key's"
        raise BadDemoAccess(msg)
