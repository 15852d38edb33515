"""Wake-ups of the checks. Each makes one domain call; a lost one comes again by itself."""

from celery import shared_task

from billing.proof import watch


# A check that outlives the broker's patience must not be handed to a second worker.
@shared_task(acks_late=False)  # type: ignore[untyped-decorator]
def check_invariant(name: str) -> int:
    """Check one invariant where its turn is. Return the number of differences."""
    return len(watch.check(name))
