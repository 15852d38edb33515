"""Holds whose gateway died are closed at what their last heartbeat said, so that no money stays set aside for ever."""

import logging

from billing import live

_log = logging.getLogger(__name__)


def reap_due() -> int:
    """Settle every hold past its deadline. Return how many.

    Raises: what the last failing shard raised, after all others were served.
    """
    reaped = 0
    failure: Exception | None = None
    for shard in live.shards_with_holds():
        try:
            reaped += live.reap_expired(shard=shard)
        except Exception as error:  # noqa: BLE001 -- one shard's trouble must not keep the others waiting
            _log.exception("reaping of shard %s failed", shard)
            failure = error
    if failure is not None:
        raise failure
    return reaped
