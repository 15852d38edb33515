"""Faults on request: what tests ask to go wrong, how often, and with which call."""

from dataclasses import dataclass, field
from typing import Literal

Fault = Literal["500_before", "500_after", "409", "429", "lost_before", "lost_after", "hang_before", "hang_after"]


@dataclass(slots=True)
class Faults:
    """Faults by call, such as 'POST /v1/payment_intents', in the order in which they will happen."""

    waiting: dict[str, list[Fault]] = field(default_factory=dict)

    def add(self, call: str, *faults: Fault) -> None:
        """Let the next calls go wrong, one fault each."""
        self.waiting.setdefault(call, []).extend(faults)

    def take(self, call: str) -> Fault | None:
        """Return what goes wrong with this call."""
        planned = self.waiting.get(call)
        return planned.pop(0) if planned else None
