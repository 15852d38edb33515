"""A money store in which every shard is open: what rebuilding them all from empty books comes to, at a hundredth of its time."""

import redis
from django.conf import settings

from billing import live

# What the first opening wrote; a store that has not restarted since takes it back as it was.
_opened: dict[bytes, bytes] = {}


def open_shards() -> None:
    """Empty the money store and begin the epoch of every shard."""
    with redis.Redis.from_url(settings.REDIS_URL) as store:
        store.flushdb()
        pipe = store.pipeline(transaction=False)
        for name, value in _opened.items():
            pipe.restore(name, 0, value)
        pipe.execute()
        for shard in live.shards_with_stale_epochs():
            live.begin_epoch(shard=shard, balances=[])
        _opened.update({name: store.dump(name) for name in store.scan_iter() if name not in _opened})
