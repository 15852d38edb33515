"""The money store as Django and Celery see it: read live balances, publish credits and key rules, drain the usage streams.

The data plane's side is ``billing/authorizer/holds.py``; both run the same scripts, so every change is one atomic step whoever asks.
All amounts are nanos (1e-9 USD). Every function raises MoneyStoreDown when the store cannot be asked.
"""

from billing.live.balances import BalanceSeed, LiveBalance, apply_credit, put_frozen, read_balance, resync_balance, return_charge
from billing.live.epochs import ServerRestarted, begin_epoch, close_epoch, epoch_is_current, put_mark, read_mark, shards_with_stale_epochs
from billing.live.holds import LiveHold, OrganizationHolds, read_holds, reap_expired, shards_with_holds
from billing.live.key_scopes import KeyScope, KeySeed, LiveKeyUsage, put_key_scope, read_key_usage
from billing.live.moving import copy_claims, end_pause, hand_over_claims, leave_shard, open_for_arrival, pause_for_move
from billing.live.set_aside import release_aside, set_aside
from billing.live.store import EpochClosed
from billing.live.stream import (
    Ack,
    StreamEntry,
    StreamLag,
    acknowledge,
    find_entry,
    read_batch,
    shards_with_entries,
    stream_lag,
    stream_lag_s,
)

__all__ = [
    "Ack",
    "BalanceSeed",
    "EpochClosed",
    "KeyScope",
    "KeySeed",
    "LiveBalance",
    "LiveHold",
    "LiveKeyUsage",
    "OrganizationHolds",
    "ServerRestarted",
    "StreamEntry",
    "StreamLag",
    "acknowledge",
    "apply_credit",
    "begin_epoch",
    "close_epoch",
    "copy_claims",
    "end_pause",
    "epoch_is_current",
    "find_entry",
    "hand_over_claims",
    "leave_shard",
    "open_for_arrival",
    "pause_for_move",
    "put_frozen",
    "put_key_scope",
    "put_mark",
    "read_balance",
    "read_batch",
    "read_holds",
    "read_key_usage",
    "read_mark",
    "reap_expired",
    "release_aside",
    "resync_balance",
    "return_charge",
    "set_aside",
    "shards_with_entries",
    "shards_with_holds",
    "shards_with_stale_epochs",
    "stream_lag",
    "stream_lag_s",
]
