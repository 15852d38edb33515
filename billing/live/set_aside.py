"""Money set aside while the books take it: a hold without a key. Nobody can spend it meanwhile, and a crash gives it back."""

import uuid

from billing.authorizer.keys import hold_keys
from billing.authorizer.scripts import RELEASE, RESERVE
from billing.live.store import asks_store, run

# Stands where a request's hold names its key; keys are numbered from 1.
NO_SCOPE = "0"
_TTL_MS = 60_000


@asks_store
def set_aside(*, org_id: int, shard: int, hold_id: uuid.UUID, amount_nanos: int) -> bool | None:
    """Hold an amount that is free to spend. False when there is less; None when the store does not have the organization's balance.

    Ended by ``release_aside``, or by the reaper after a minute. Raises: EpochClosed, MoneyStoreDown.
    """
    args: list[str | bytes | int] = ["", org_id, hold_id.hex, amount_nanos, _TTL_MS, 0, NO_SCOPE, b"{}"]
    word = run(RESERVE, hold_keys(shard, org_id, ()), args)[0]
    return None if word == b"NO_ORG" else word == b"OK"


@asks_store
def release_aside(*, org_id: int, shard: int, hold_id: uuid.UUID, scope_ids: tuple[int, ...] = ()) -> bool:
    """Make what was set aside free again; false when it is already. ``scope_ids`` are the keys that it counts against.

    Raises: EpochClosed, MoneyStoreDown.
    """
    return bool(run(RELEASE, hold_keys(shard, org_id, scope_ids), ["", org_id, hold_id.hex])[0] == b"OK")
