"""Make and rename organizations. Every one has an owner and a place in the ledger."""

import secrets

import uuid_utils
from django.conf import settings
from django.db import transaction

from accounts import audit, permissions
from accounts.audit import Actor
from accounts.models import Membership, Organization, Role, User

NAME_MAX = 100


class BadOrganizationName(ValueError):
    """The name is empty or longer than 100 characters."""


def _checked_name(name: str) -> str:
    name = name.strip()
    if not name or len(name) > NAME_MAX or "\x00" in name:
        msg = f"An organization's name has 1 to {NAME_MAX} characters."
        raise BadOrganizationName(msg)
    return name


@transaction.atomic
def create(*, name: str, owner: User, shard: int | None = None) -> Organization:
    """Make an organization with its owner.

    ``shard`` (0 to 255) places it in the ledger; left out, it is drawn at random, which spreads tenants evenly without a counter
    that every sign-up would have to lock. Raises: BadOrganizationName.
    """
    organization = Organization.objects.create(
        public_id=f"org_{uuid_utils.uuid7().hex}",
        name=_checked_name(name),
        shard=secrets.randbelow(settings.LEDGER_SHARDS) if shard is None else shard,
    )
    Membership.objects.create(user=owner, organization=organization, role=Role.OWNER)
    audit.record(organization_id=organization.pk, by=owner, action="organization.created", target=organization.public_id)
    return organization


@transaction.atomic
def create_personal(*, user: User) -> Organization:
    """Return the person's own organization, made at sign-up under the name of the mail address. Calling it again finds the same one."""
    User.objects.select_for_update().get(pk=user.pk)
    owned = Membership.objects.filter(user=user, role=Role.OWNER).select_related("organization").order_by("pk").first()
    if owned is not None:
        return owned.organization
    return create(name=user.email.partition("@")[0][:NAME_MAX] or "Personal", owner=user)


@transaction.atomic
def place(*, organization: Organization, shard: int) -> None:
    """Write down that the organization lives on another ledger shard. Called by who moves its money (billing.books.moving)."""
    locked = Organization.objects.select_for_update().get(pk=organization.pk)
    detail = {"from": locked.shard, "to": shard}
    Organization.objects.filter(pk=locked.pk).update(shard=shard)
    audit.record(organization_id=locked.pk, by=None, action="organization.moved", target=locked.public_id, detail=detail)


@transaction.atomic
def rename(*, organization: Organization, name: str, by: Actor) -> Organization:
    """Give the organization another name. Raises: NotPermitted, BadOrganizationName."""
    permissions.require(by=by, organization=organization, action="organization.rename")
    new_name = _checked_name(name)
    locked = Organization.objects.select_for_update().get(pk=organization.pk)
    if locked.name != new_name:
        detail = {"from": locked.name, "to": new_name}
        locked.name = new_name
        locked.save(update_fields=["name"])
        audit.record(organization_id=locked.pk, by=by, action="organization.renamed", target=locked.public_id, detail=detail)
    return locked
