"""What is counted of an endpoint in a stretch of time: outcomes by class, and histograms whose buckets grow by a twelfth. Pure.

A histogram is a dictionary of bucket → how many. Eight buckets to the doubling put a percentile within 4.5 % of the truth, whatever its
size, and two histograms are added by adding their buckets: percentiles of many processes are exact to the same bound.
"""

import math
from collections.abc import Mapping
from typing import Final, TypeVar

import msgspec

_Key = TypeVar("_Key", int, str)

_BUCKETS_PER_DOUBLING: Final = 8
_LARGEST: Final = 22 * _BUCKETS_PER_DOUBLING  # four million: more milliseconds than any time-out, more tokens a second than any host

# Classes of outcomes. Those of GRADED are the endpoint's doing and make its uptime; the others are counted apart.
OK: Final = "ok"
LIMITED: Final = "limited"  # 429
FAULTS: Final = frozenset({"connect", "timeout", "network", "server", "credential", "not_found", "malformed"})
GRADED: Final = FAULTS | {OK}
HEDGED: Final = "hedged"  # no answer: it was slower than the one beside it

Histogram = dict[int, int]


def bucket_of(value: float) -> int:
    """Return the bucket of a value; everything up to 1 is in the first."""
    return min(int(math.log2(value) * _BUCKETS_PER_DOUBLING) + 1, _LARGEST) if value > 1 else 0


def value_of(bucket: int) -> float:
    """Return the geometric middle of a bucket."""
    return 2.0 ** ((bucket - 0.5) / _BUCKETS_PER_DOUBLING) if bucket else 1.0


def find_percentiles(histogram: Mapping[int, int], shares: tuple[float, ...]) -> tuple[float, ...]:
    """Return, for each share in ascending order, the value that this share of the entries does not exceed. Raises: ValueError if empty."""
    count = sum(histogram.values())
    if not count:
        msg = "an empty histogram has no percentiles"
        raise ValueError(msg)
    found: list[float] = []
    seen = 0
    buckets = iter(sorted(histogram.items()))
    bucket = 0
    for share in shares:
        while seen < share * count:
            bucket, here = next(buckets)
            seen += here
        found.append(value_of(bucket))
    return tuple(found)


class Tally(msgspec.Struct, array_like=True, gc=False):
    """Sums over any stretch of time. ``first_token_ms`` (of streams), ``whole_ms`` (of answers that are not streamed) and ``tokens_per_s``
    are histograms; tokens are those of answers with a usage.
    """

    outcomes: dict[str, int] = {}
    first_token_ms: Histogram = {}
    tokens_per_s: Histogram = {}
    tool_answers: int = 0  # answers that called tools
    tool_faults: int = 0  # of those: with a call that no tool of the request could take
    answers: int = 0  # with a usage
    prompt_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    whole_ms: Histogram = {}

    def add(self, other: "Tally", sign: int = 1) -> None:
        """Add ``other``, or take away what was added before (``sign`` -1)."""
        _add(self.outcomes, other.outcomes, sign)
        _add(self.first_token_ms, other.first_token_ms, sign)
        _add(self.tokens_per_s, other.tokens_per_s, sign)
        _add(self.whole_ms, other.whole_ms, sign)
        self.tool_answers += sign * other.tool_answers
        self.tool_faults += sign * other.tool_faults
        self.answers += sign * other.answers
        self.prompt_tokens += sign * other.prompt_tokens
        self.cached_tokens += sign * other.cached_tokens
        self.output_tokens += sign * other.output_tokens

    @property
    def graded(self) -> int:
        """Requests that say something about the endpoint: successes and its own failures."""
        return sum(count for name, count in self.outcomes.items() if name in GRADED)

    @property
    def is_empty(self) -> bool:
        """Whether nothing is left of what was added."""
        return not self.outcomes


def _add(into: dict[_Key, int], other: dict[_Key, int], sign: int) -> None:
    for key, count in other.items():
        left = into.get(key, 0) + sign * count
        if left:
            into[key] = left
        else:
            into.pop(key, None)
