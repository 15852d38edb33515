"""Keep the money store's copy of each API key's limit and state in step with the stored key."""

from typing import cast

from django.db.models import F

from accounts import api_keys
from accounts import queries as accounts
from accounts.models import ApiKey
from accounts.types import LimitReset  # noqa: TC001 -- named in cast
from billing import live


def publish_key_scope(*, api_key: ApiKey) -> None:
    """Tell the money store a key's present rules. A version that it has, or has overtaken, changes nothing.

    Raises: MoneyStoreDown, live.EpochClosed; the sweep repeats it then.
    """
    told = None
    # Asked again afterwards: when the organization moved meanwhile, its new shard may have loaded the key before this change.
    while (shard := accounts.shard_of(api_key.organization_id)) != told:
        live.put_key_scope(shard=shard, scope=scope_of(api_key))
        told = shard
    api_keys.mark_published(key_id=api_key.pk, version=api_key.version)


def scope_of(api_key: ApiKey) -> live.KeyScope:
    """Return the key's rules as the money store keeps them."""
    return live.KeyScope(
        key_id=api_key.pk,
        version=api_key.version,
        limit_nanos=api_key.limit_nanos,
        limit_reset=cast("LimitReset", api_key.limit_reset),  # a check constraint holds the column to these
        disabled=api_key.disabled or api_key.deleted_at is not None,
        expires_at_s=None if api_key.expires_at is None else int(api_key.expires_at.timestamp()),
    )


def republish_stale(*, limit: int = 1_000) -> int:
    """Announce keys whose latest change has not reached the money store. Return how many were announced.

    Keys of a shard that waits for its rebuild are left for the next call. Raises: MoneyStoreDown, redis.RedisError (the broker).
    """
    stale = list(ApiKey.objects.filter(published_version__lt=F("version")).order_by("id").values_list("id", flat=True)[:limit])
    announced = 0
    for key_id in stale:
        try:
            api_keys.announce(key_id=key_id)
        except live.EpochClosed:
            continue
        announced += 1
    return announced


def on_key_changed(*, api_key: ApiKey, **_: object) -> None:
    """Receive ``accounts.signals.key_changed``."""
    publish_key_scope(api_key=api_key)
