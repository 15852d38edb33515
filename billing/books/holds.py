"""Holds whose gateway died are closed at what their last heartbeat said, so that no money stays set aside for ever."""

from billing import live


def reap_due() -> int:
    """Settle every hold past its deadline. Return how many."""
    return sum(live.reap_expired(shard=shard) for shard in live.shards_with_holds())
