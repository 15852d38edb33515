"""The state of the books as Prometheus text: zeros that a dashboard shows and an alarm watches."""

from collections.abc import Iterator

from django.utils import timezone

from billing import live
from billing.authorizer.connection import MoneyStoreDown
from billing.models import AdmissionFreeze, Incident, SettlementDeadLetter
from billing.proof import queries


def render() -> str:
    """Return all metrics in the text exposition format, version 0.0.4."""
    return "\n".join([*_invariants(), *_state()]) + "\n"


def _invariants() -> Iterator[str]:
    rows = queries.statuses()
    now = timezone.now()
    yield from _head("tollway_invariant_differences", "Open differences of an invariant of the books.")
    yield from (f'tollway_invariant_differences{{invariant="{row.name}"}} {row.open_count}' for row in rows)
    yield from _head("tollway_invariant_off_nanos", "Sum of an invariant's open differences in money, nanos (1e-9 USD).")
    yield from (f'tollway_invariant_off_nanos{{invariant="{row.name}"}} {row.off_nanos}' for row in rows)
    yield from _head("tollway_invariant_age_seconds", "Seconds since an invariant was last checked.")
    for row in rows:
        if row.checked_at is not None:
            yield f'tollway_invariant_age_seconds{{invariant="{row.name}"}} {int((now - row.checked_at).total_seconds())}'


def _state() -> Iterator[str]:
    yield from _head("tollway_incidents_open", "Differences that are open now.")
    yield f"tollway_incidents_open {Incident.objects.filter(closed_at=None).count()}"
    yield from _head("tollway_organizations_frozen", "Organizations whose new requests are refused.")
    yield f"tollway_organizations_frozen {AdmissionFreeze.objects.filter(lifted_at=None).count()}"
    yield from _head("tollway_dead_letters_open", "Stream entries that the books refused and nobody has dealt with.")
    yield f"tollway_dead_letters_open {SettlementDeadLetter.objects.filter(resolved_at=None).count()}"
    try:
        lag_ms = round(live.stream_lag_s() * 1000)
    except MoneyStoreDown:
        return
    yield from _head("tollway_settlement_lag_seconds", "Age of the oldest settled request that is not booked.")
    yield f"tollway_settlement_lag_seconds {lag_ms // 1000}.{lag_ms % 1000:03d}"


def _head(name: str, words: str) -> tuple[str, str]:
    return f"# HELP {name} {words}", f"# TYPE {name} gauge"
