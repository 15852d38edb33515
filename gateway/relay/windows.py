"""Sliding windows over tallies: the newest slots of equal length, and their sum. Pure; slots are numbered by Unix time."""

from gateway.relay.tallies import Tally


class Window:
    """The last ``slots`` slots of ``slot_s`` seconds, the one that has begun included. Memory is bounded by their number."""

    __slots__ = ("_slots", "slot_s", "slots_max", "total")

    def __init__(self, *, slot_s: int, slots: int) -> None:
        self.slot_s = slot_s
        self.slots_max = slots
        self.total = Tally()
        self._slots: dict[int, Tally] = {}

    def add(self, tally: Tally, at_s: float) -> None:
        """Add what was counted at a moment, in Unix seconds."""
        slot = int(at_s) // self.slot_s
        held = self._slots.get(slot)
        if held is None:
            held = self._slots[slot] = Tally()
        held.add(tally)
        self.total.add(tally)

    def expire(self, now_s: float) -> bool:
        """Drop slots that have left the window. Returns whether there were any."""
        oldest = int(now_s) // self.slot_s - self.slots_max + 1
        gone = [slot for slot in self._slots if slot < oldest]
        for slot in gone:
            self.total.add(self._slots.pop(slot), -1)
        return bool(gone)

    def slot(self, number: int) -> Tally | None:
        """Return one slot's tally, or None when nothing was counted in it."""
        return self._slots.get(number)
