"""How often a fault is repeated: a few times among the tests, many times in ``make faults`` (FAULTS=full)."""

import os


def is_full() -> bool:
    """Whether this is the long run."""
    return os.environ.get("FAULTS") == "full"


def times(quick: int, full: int) -> int:
    """Return the number of repetitions of this run."""
    return full if is_full() else quick
