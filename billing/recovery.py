"""After the database was restored to an earlier moment: everything that others still know is brought back into it.

The gateways' spools have the requests of the last quarter of an hour and longer, Stripe has every payment.
"""

import logging
from typing import NamedTuple

from django.conf import settings

from billing import live
from billing.books import rebuild, restored
from billing.books.shard_lock import hold_shard
from billing.purchases import inbox, stripe_api

_log = logging.getLogger(__name__)


class Recovered(NamedTuple):
    """What was done. ``events`` counts Stripe's events that were missing, None if Stripe could not be asked."""

    shards_behind: list[int]
    booked: int
    events: int | None


def recover_books() -> Recovered:
    """Accept the books as they are, make every shard's live balances anew from them, and ask Stripe for what they have lost.

    Gateways see the new epoch and send again what the books do not have, within seconds. May be repeated.
    Raises: ShardBusy when a shard is held for long, MoneyStoreDown, NotDrained.
    """
    behind, booked = [], 0
    for shard in range(settings.LEDGER_SHARDS):
        # Under the lock: whoever settles meanwhile must find the mark, or it would book on books that are not accepted yet.
        with hold_shard(shard, wait_s=rebuild.WAIT_S):
            if restored.missing_mark(shard) is not None:
                behind.append(shard)
            live.put_mark(shard=shard, mark="")
            booked += rebuild.rebuild_shard(shard=shard).settled.booked
    try:
        events: int | None = inbox.catch_up()
        inbox.process_due()
    except (stripe_api.StripeDown, stripe_api.StripeRefused) as error:
        _log.warning("Stripe could not be asked for what the books have lost, the hourly sweep will: %s", error)
        events = None
    return Recovered(behind, booked, events)
