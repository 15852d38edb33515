"""Reads of what the checks found. For operators: nothing here is scoped to an organization."""

import datetime as dt
from typing import NamedTuple

from django.db.models import Count, QuerySet

from billing.models import AdmissionFreeze, Incident, InvariantRun
from billing.proof import checks


class Status(NamedTuple):
    """One invariant as it is now. ``checked_at`` is None before the first check; ``off_nanos`` sums its open differences in money."""

    name: str
    title: str
    freezes: bool
    open_count: int
    off_nanos: int
    checked_at: dt.datetime | None
    took_ms: int
    whole_checked_at: dt.datetime | None


def statuses() -> list[Status]:
    """Return every invariant, I1 first."""
    latest = {row.name: row for row in InvariantRun.objects.order_by("name", "-checked_at").distinct("name")}
    whole = {row.name: row for row in InvariantRun.objects.filter(is_whole=True).order_by("name", "-checked_at").distinct("name")}
    open_now = Incident.objects.filter(closed_at=None)
    counts = {row["invariant"]: row["count"] for row in open_now.values("invariant").annotate(count=Count("pk"))}
    offs: dict[str, int] = {}
    for incident in open_now.filter(unit="n$").only("invariant", "expected", "found"):
        offs[incident.invariant] = offs.get(incident.invariant, 0) + abs(incident.found - incident.expected)
    found = []
    for one in checks.in_order():
        run, whole_run = latest.get(one.name), whole.get(one.name)
        found.append(
            Status(
                name=one.name,
                title=one.title,
                freezes=one.freezes,
                open_count=counts.get(one.name, 0),
                off_nanos=offs.get(one.name, 0),
                checked_at=run.checked_at if run else None,
                took_ms=run.took_ms if run else 0,
                whole_checked_at=whole_run.checked_at if whole_run else None,
            )
        )
    return found


def open_incidents() -> QuerySet[Incident]:
    """Return what is broken now, latest first."""
    return Incident.objects.filter(closed_at=None).select_related("organization").order_by("-opened_at")


def closed_incidents(*, limit: int = 20) -> QuerySet[Incident]:
    """Return what was broken and is not any more, latest first."""
    return Incident.objects.exclude(closed_at=None).select_related("organization").order_by("-closed_at")[:limit]


def freezes_in_force() -> QuerySet[AdmissionFreeze]:
    """Return whose new requests are refused, oldest first."""
    return AdmissionFreeze.objects.filter(lifted_at=None).select_related("organization").order_by("frozen_at")
