"""Streamed tool calls put in order: one index per call, its id and name once, arguments always text; those of custom tools too. Pure.

Hosts differ: some send no index, the same index for another call, the id in every piece, or the whole arguments at once.
"""

import secrets
from typing import Any

import msgspec

from gateway.dialects.base import Json

_encode_json = msgspec.json.Encoder().encode


def arguments_text(value: Any) -> str:
    """Return a call's arguments as JSON text; hosts that send an object get it written out, nothing is ''."""
    if isinstance(value, str):
        return value
    return "" if value is None else _encode_json(value).decode()


def new_call_id() -> str:
    """Return an id for a call whose host gave none."""
    return f"call_{secrets.token_hex(12)}"


class ToolDeltas:
    """The calls of one choice of one stream."""

    __slots__ = ("_by_id", "_by_index", "_last", "_names")

    def __init__(self) -> None:
        self._by_index: dict[int, int] = {}  # the host's index → ours, of the newest call under it
        self._by_id: dict[str, int] = {}
        self._names: list[str] = []  # by our index
        self._last = -1

    def normalise(self, delta: Any) -> Json | None:
        """Return one clean delta, or None when it says nothing."""
        if not isinstance(delta, dict):
            return None
        custom, function = delta.get("custom"), delta.get("function")
        kind, takes = ("custom", "input") if isinstance(custom, dict) else ("function", "arguments")
        function = custom if isinstance(custom, dict) else function if isinstance(function, dict) else {}
        call_id, index, name = delta.get("id"), delta.get("index"), function.get("name")
        call_id = call_id if isinstance(call_id, str) else ""
        name = name if isinstance(name, str) else ""
        index = index if isinstance(index, int) and not isinstance(index, bool) else None
        arguments = arguments_text(function.get(takes))
        ours = self._find(call_id, index, name)
        if ours is None:
            named = {"name": name, takes: arguments}
            told = delta.get("type") if kind == "function" else kind
            return self._open({"type": told if isinstance(told, str) else kind, kind: named}, call_id, index)
        self._last = ours
        clean: Json = {"index": ours, kind: {takes: arguments}}
        if name and not self._names[ours]:
            self._names[ours] = clean[kind]["name"] = name
        elif not arguments:
            return None
        return clean

    def _find(self, call_id: str, index: int | None, name: str) -> int | None:
        """Return our index of the call that a delta continues, None if it opens one."""
        if call_id and call_id in self._by_id:
            return self._by_id[call_id]
        held = self._by_index.get(index) if index is not None else (self._last if self._last >= 0 else None)
        if held is None:
            return None
        # Another id under a known index opens a call if it has a name; without one the host just makes ids up for each piece.
        # Without an index, a name alone opens one.
        opens = bool(name) and (bool(call_id) or (index is None and bool(self._names[held])))
        return None if opens else held

    def _open(self, call: Json, call_id: str, index: int | None) -> Json:
        ours = len(self._names)
        call_id = call_id or new_call_id()
        self._names.append((call.get("custom") or call["function"])["name"])
        self._by_id[call_id] = ours
        self._by_index[ours if index is None else index] = ours
        self._last = ours
        return {"index": ours, "id": call_id, **call}
