"""Two figures of the books that should be equal and are not."""

from typing import NamedTuple


class Difference(NamedTuple):
    """One broken invariant at one place. Figures are nanos unless ``unit`` says otherwise.

    ``org_ids`` are the organizations whose money it concerns (none: the service's own), ``shard`` where in the money store it was seen.
    """

    invariant: str
    subject: str
    expected: int
    found: int
    unit: str = "n$"
    org_ids: tuple[int, ...] = ()
    shard: int | None = None

    @property
    def off(self) -> int:
        """How far off, in ``unit``, never below zero."""
        return abs(self.found - self.expected)

    def __str__(self) -> str:
        return (
            f"{self.invariant} {self.subject}: expected {self.expected:,} {self.unit}, found {self.found:,} {self.unit}"
            f" (difference {self.found - self.expected:+,})"
        )
