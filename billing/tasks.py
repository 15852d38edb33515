"""Wake-ups. Each makes one domain call; a lost, doubled or late message costs latency, never money."""

from celery import shared_task

from billing import limits, signup_credit
from billing.books import archive, expiry, holds, outbox, partitions, settlement
from billing.proof import freezes, watch


@shared_task  # type: ignore[untyped-decorator]
def settle_due() -> int:
    """Book what the streams hold."""
    return settlement.settle_due()


@shared_task  # type: ignore[untyped-decorator]
def settle_shard(shard: int) -> int:
    """Book what one shard's stream holds."""
    return settlement.settle_shard(shard=shard).entries


@shared_task  # type: ignore[untyped-decorator]
def publish_pending() -> int:
    """Bring balance changes, key rules and freezes to the money store."""
    return outbox.publish_pending() + limits.republish_stale() + freezes.publish_due()


@shared_task  # type: ignore[untyped-decorator]
def reap_expired_holds() -> int:
    """Close the holds of gateways that died."""
    return holds.reap_due()


@shared_task  # type: ignore[untyped-decorator]
def expire_credit() -> int:
    """Take what is left of granted credit whose time is over. Return the nanos taken."""
    return expiry.expire_due()


@shared_task  # type: ignore[untyped-decorator]
def grant_signup_credit() -> int:
    """Grant sign-up credit to those who wait for it. Return how many got it."""
    return signup_credit.sweep()


@shared_task  # type: ignore[untyped-decorator]
def make_partitions() -> list[str]:
    """Make the usage table's next days."""
    return partitions.make_ahead()


# Not to be handed to a second worker while the first still writes; a lost one comes again by itself.
@shared_task(acks_late=False)  # type: ignore[untyped-decorator]
def archive_usage() -> int:
    """Move days of usage older than the retention into files. Return how many."""
    return len(archive.archive_due())


# A check that outlives the broker's patience must not be handed to a second worker; a lost one comes again by itself.
@shared_task(acks_late=False)  # type: ignore[untyped-decorator]
def verify_books() -> int:
    """Check every invariant where its turn is; what is found is kept, logged and mailed. Return the number of differences."""
    return watch.check_all()


@shared_task(acks_late=False)  # type: ignore[untyped-decorator]
def verify_all_books() -> int:
    """Check every invariant over everything ever booked. Return the number of differences."""
    return watch.check_all(is_whole=True)
