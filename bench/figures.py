"""The shapes of what is measured. Latencies in milliseconds, rates per second."""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from bench.translation import Translation


def percentile(ordered: Sequence[float], percent: float) -> float:
    """Return the nearest-rank percentile of an ascending sequence; 0 for an empty one."""
    if not ordered:
        return 0.0
    return ordered[min(len(ordered), max(1, math.ceil(len(ordered) * percent / 100))) - 1]


@dataclass(frozen=True, slots=True)
class Load:
    """What a load of whole answers showed. ``cpu_us`` is the measured process's CPU time per request; 0 where it was not measured."""

    connections: int
    requests: int
    failures: int
    duration_s: float
    p50_ms: float
    p99_ms: float
    cpu_us: float = 0.0

    @property
    def per_s(self) -> float:
        """Requests per second."""
        return self.requests / self.duration_s if self.duration_s else 0.0


@dataclass(frozen=True, slots=True)
class Streaming:
    """What a load of streams showed. First byte and delay are of chunks; the delay is from the upstream's write to the client's read."""

    streams: int
    offered_per_s: float
    chunks_per_s: float
    failures: int
    first_p50_ms: float
    first_p99_ms: float
    delay_p50_ms: float
    delay_p99_ms: float
    requests: int
    cpu_us: float = 0.0


@dataclass(frozen=True, slots=True)
class Books:
    """What the ledger says after the run. ``answers`` were counted by the clients, ``cut_off`` may have been left unread by wrk."""

    answers: int
    cut_off: int
    receipts: int
    charged_nanos: int
    distinct_amounts: int
    settled_per_s: float
    backlog: int
    verify_exit: int
    verify_says: str

    @property
    def agree(self) -> bool:
        """Whether every answer has one receipt and the ledger balances to the nano."""
        return self.verify_exit == 0 and self.answers <= self.receipts <= self.answers + self.cut_off


def _middle(rounds: Sequence[Load], key: Callable[[Load], float]) -> Load:
    return sorted(rounds, key=key)[(len(rounds) - 1) // 2]


@dataclass(slots=True)
class Figures:
    """One run of the harness."""

    when: str
    commit: str
    machine: str
    versions: dict[str, str]
    cores: str
    driver: str
    python_because: str = ""  # why the hot path ran as Python; empty where it was compiled
    quick: bool = False
    loads: dict[str, list[Load]] = field(default_factory=dict)  # who → at each number of connections
    rounds: dict[str, dict[int, list[Load]]] = field(default_factory=dict)  # who → connections → every round, of which loads has the middle
    fifth: dict[str, Load] = field(default_factory=dict)  # who → at a fifth of the gateway's full load, the middle of these
    fifth_rounds: dict[str, list[Load]] = field(default_factory=dict)
    streams: dict[str, list[Streaming]] = field(default_factory=dict)
    rss_before_mib: float = 0.0
    rss_after_mib: float = 0.0
    books: Books | None = None
    translations: list[Translation] = field(default_factory=list)

    def add_load(self, who: str, load: Load) -> None:
        """Keep a round of whole answers. What counts is the middle one by its rate: machines have slow and fast minutes."""
        self.rounds.setdefault(who, {}).setdefault(load.connections, []).append(load)
        self.loads[who] = [_middle(rounds, lambda one: one.per_s) for rounds in self.rounds[who].values()]

    def add_fifth(self, who: str, load: Load) -> None:
        """Keep a round at a fifth of full load. What counts is the middle one by its median."""
        self.fifth_rounds.setdefault(who, []).append(load)
        self.fifth[who] = _middle(self.fifth_rounds[who], lambda one: one.p50_ms)

    def best(self, who: str) -> Load | None:
        """Return the load at which ``who`` answered most."""
        return max(self.loads.get(who, []), key=lambda load: load.per_s, default=None)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)
