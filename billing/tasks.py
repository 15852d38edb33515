"""Wake-ups. Each makes one domain call; a lost, doubled or late message costs latency, never money."""

from celery import shared_task

from billing import limits
from billing.books import holds, invariants, outbox, partitions, settlement


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
    """Bring balance changes and key rules to the money store."""
    return outbox.publish_pending() + limits.republish_stale()


@shared_task  # type: ignore[untyped-decorator]
def reap_expired_holds() -> int:
    """Close the holds of gateways that died."""
    return holds.reap_due()


@shared_task  # type: ignore[untyped-decorator]
def make_partitions() -> list[str]:
    """Make the usage table's next days."""
    return partitions.make_ahead()


# A check that outlives the broker's patience must not be handed to a second worker; a lost one comes again by itself.
@shared_task(acks_late=False)  # type: ignore[untyped-decorator]
def verify_books() -> int:
    """Check the invariants over the last days; differences are logged as errors. Return their number."""
    return invariants.verify_and_log(days=invariants.WINDOW_DAYS)


@shared_task(acks_late=False)  # type: ignore[untyped-decorator]
def verify_all_books() -> int:
    """Check the invariants over everything ever booked; differences are logged as errors. Return their number."""
    return invariants.verify_and_log()
