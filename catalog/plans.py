"""Which organization is on which plan. A plan is a name that markup rules can use."""

import re
from typing import Final

from django.db import transaction

from accounts import audit
from accounts.audit import Actor
from accounts.models import Organization
from catalog import publication
from catalog.locks import hold_catalog_lock
from catalog.models import PlanMember

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")


class BadPlan(ValueError):
    """A plan cannot have this name; the message says why."""


def assign(*, organization: Organization, plan: str, by: Actor) -> None:
    """Put an organization on a plan, or on none with ''; its prices hold from the publication that this makes.

    Raises: BadPlan, BrokenCatalog; then nothing has changed.
    """
    if plan and _NAME.fullmatch(plan) is None:
        msg = "a plan's name has up to 40 lower-case letters, digits and dashes"
        raise BadPlan(msg)
    with transaction.atomic():
        hold_catalog_lock()
        if plan:
            PlanMember.objects.update_or_create(organization=organization, defaults={"plan": plan})
        else:
            PlanMember.objects.filter(organization=organization).delete()
        audit.record(organization_id=organization.pk, by=by, action="plan.assigned", target=organization.public_id, detail={"plan": plan})
        publication.publish()
