"""Check an invariant, keep what was found, stop the organizations concerned, and tell the operator."""

import logging
import time
from functools import partial
from typing import Final

from django.utils import timezone

from billing.books.difference import Difference
from billing.models import InvariantRun
from billing.proof import checks, freezes, incidents

# Long enough for whatever was on its way between the two sides.
_CONFIRM_AFTER_S: Final = 1.0

_log = logging.getLogger(__name__)


def check(name: str, *, is_whole: bool = False) -> list[Difference]:
    """Check one invariant and act on the result. A difference counts only if a second look finds it too.

    Raises: MoneyStoreDown; then nothing was found out and nothing is changed.
    """
    invariant = checks.INVARIANTS[name]
    slice_ = checks.present_slice()
    look = invariant.whole if is_whole else partial(invariant.quick, slice_)
    shards = slice_ if invariant.by_shard and not is_whole else None
    began_at, began_s = timezone.now(), time.monotonic()
    found = list(look())
    if found:
        time.sleep(_CONFIRM_AFTER_S)
        again = {difference.subject: difference for difference in look()}
        found = [again[difference.subject] for difference in found if difference.subject in again]
    InvariantRun.objects.create(
        name=name,
        is_whole=is_whole,
        checked_at=began_at,
        took_ms=int((time.monotonic() - began_s) * 1000),
        differences=len(found),
        off_nanos=sum(difference.off for difference in found if difference.unit == "n$"),
    )
    for difference in found:
        _log.error("books do not balance: %s", difference)
    incidents.note(name, found, is_whole=is_whole, shards=shards)
    if invariant.freezes and found:
        _freeze(found)
    incidents.tell_operator()
    return found


def check_all(*, is_whole: bool = False) -> int:
    """Check every invariant one after the other. Return the number of differences."""
    incidents.forget_old_runs()
    return sum(len(check(one.name, is_whole=is_whole)) for one in checks.in_order())


def _freeze(found: list[Difference]) -> None:
    reasons: dict[int, str] = {}
    for difference in found:
        for org_id in difference.org_ids:
            reasons.setdefault(org_id, str(difference))
    for org_id, reason in reasons.items():
        if freezes.freeze(org_ids=[org_id], reason=reason):
            _log.error("new requests of organization %s are refused: %s", org_id, reason)
