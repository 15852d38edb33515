"""What is measured of the endpoints, and what a process tells the others of it."""

from typing import Any

import msgspec

from catalog.types import Usage
from gateway.relay.tallies import Tally

Headers = list[tuple[bytes, bytes]]


class Sample(msgspec.Struct, gc=False):
    """One attempt at one endpoint, when it is over. Times in milliseconds, 0 where there was none.

    ``outcome`` is a class of tallies.py or any other word, which is counted apart. ``calls`` are the name and arguments of every tool
    call, ``tools`` what the request offered. ``deployment`` names the endpoint and the credential that was used.
    """

    endpoint_id: str
    outcome: str
    first_token_ms: int = 0
    total_ms: int = 0
    usage: Usage | None = None
    calls: list[tuple[str, str]] | None = None
    tools: Any = None
    deployment: str = ""
    headers: Headers | None = None


class Bulletin(msgspec.Struct, array_like=True, omit_defaults=True):
    """What one process tells the others: counts since its last one, and news. Times in Unix milliseconds."""

    tallies: dict[str, Tally] = {}
    headroom: dict[str, float] = {}  # deployment → share of its rate limit that is left
    loads: dict[str, tuple[int, int]] = {}  # deployment → requests, tokens
    outages: dict[str, int] = {}  # endpoint → since when; 0: it answers again
    cooling: dict[str, int] = {}  # deployment → until when
    in_flight: dict[str, int] = {}  # deployment → requests on their way at this moment

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to tell."""
        return not (self.tallies or self.headroom or self.loads or self.outages or self.cooling or self.in_flight)
