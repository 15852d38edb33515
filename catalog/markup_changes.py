"""Writing and ending markup rules. Each takes effect with a publication of its own, or by itself on its day (tasks.publish_due)."""

import datetime as dt

from django.db import transaction
from django.utils import timezone

from accounts import audit
from accounts.audit import Actor
from catalog import publication
from catalog.locks import hold_catalog_lock
from catalog.markup_rules import BadRule, check_rule
from catalog.models import MarkupRule


def create(
    *,
    scope: str,
    target: str,
    basis_points: int,
    floor_picos: int = 0,
    since: dt.datetime | None = None,
    until: dt.datetime | None = None,
    note: str = "",
    by: Actor,
    now: dt.datetime | None = None,
) -> MarkupRule:
    """Write a rule; it holds from ``since`` (now). Raises: BadRule, BrokenCatalog; then nothing has changed."""
    moment = now or timezone.now()
    begins = since or moment
    if begins < moment:
        msg = "a rule cannot begin in the past: what was charged then stays"
        raise BadRule(msg)
    check_rule(scope=scope, target=target, basis_points=basis_points, floor_picos=floor_picos, since=begins, until=until)
    with transaction.atomic():
        hold_catalog_lock()
        rule = MarkupRule.objects.create(
            scope=scope,
            target=target,
            basis_points=basis_points,
            floor_picos=floor_picos,
            effective_from=begins,
            effective_until=until,
            note=note,
            created_by=audit.name_actor(by),
        )
        detail = {"scope": scope, "basis_points": basis_points, "floor_picos": floor_picos, "from": begins.isoformat()}
        audit.record(organization_id=None, by=by, action="markup.created", target=target or "everything", detail=detail)
        publication.publish(now=moment)
    return rule


def end(*, rule: MarkupRule, by: Actor, now: dt.datetime | None = None) -> None:
    """End a rule now; one that has not begun never will. Raises: BadRule if it has ended already, BrokenCatalog."""
    moment = now or timezone.now()
    with transaction.atomic():
        hold_catalog_lock()
        locked = MarkupRule.objects.select_for_update().get(pk=rule.pk)
        if locked.effective_until is not None and locked.effective_until <= moment:
            msg = "the rule has ended already"
            raise BadRule(msg)
        locked.effective_until = max(moment, locked.effective_from)  # an empty period: never in force
        locked.save(update_fields=["effective_until"])
        audit.record(organization_id=None, by=by, action="markup.ended", target=locked.target or "everything", detail={"rule": locked.pk})
        publication.publish(now=moment)
    rule.refresh_from_db()
