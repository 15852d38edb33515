"""How often a fault is repeated: a few times among the tests, many times in ``make faults`` (FAULTS=full).

FAULTS=short takes everything, also what is left to ``make faults``, a few times.
"""

import os


def is_full() -> bool:
    """Whether this is the long run."""
    return os.environ.get("FAULTS") == "full"


def takes_long_ones() -> bool:
    """Whether the tests that take minutes are in this run."""
    return bool(os.environ.get("FAULTS"))


def times(quick: int, full: int) -> int:
    """Return the number of repetitions of this run."""
    return full if is_full() else quick
