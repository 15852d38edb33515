"""Everything the simulator knows: objects by id, kept in a file when one is given, so that purchases survive a restart."""

import sqlite3
import time
from pathlib import Path

import msgspec

from gateway.stripe_simulator.wire import ApiError, Object


class Store:
    """Objects by id, in the order in which they were made. Without a file they end with the process."""

    def __init__(self, path: Path | None = None) -> None:
        self._objects: dict[str, Object] = {}
        self._file: sqlite3.Connection | None = None
        if path is not None:
            self._file = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
            self._file.execute("CREATE TABLE IF NOT EXISTS object (number INTEGER PRIMARY KEY, id TEXT UNIQUE, body BLOB)")
            for object_id, body in self._file.execute("SELECT id, body FROM object ORDER BY number"):
                self._objects[object_id] = msgspec.json.decode(body)

    def put(self, item: Object) -> Object:
        """Keep an object as it is now."""
        self._objects[item["id"]] = item
        if self._file is not None:
            self._file.execute(
                "INSERT INTO object (id, body) VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET body = excluded.body",
                (item["id"], msgspec.json.encode(item)),
            )
        return item

    def find(self, object_id: str) -> Object | None:
        """Return an object of any kind, or None."""
        return self._objects.get(object_id)

    def get(self, kind: str, object_id: str) -> Object:
        """Return an object of a kind. Raises: ApiError (404, resource_missing)."""
        item = self._objects.get(object_id)
        if item is None or item["object"] != kind:
            raise ApiError(404, f"No such {kind.replace('.', '_')}: '{object_id}'", code="resource_missing", param="id")
        return item

    def newest(self, kind: str) -> list[Object]:
        """Return all objects of a kind, newest first."""
        return [item for item in reversed(self._objects.values()) if item["object"] == kind]


def now_s() -> int:
    """Return the time as Stripe writes it: Unix seconds."""
    return int(time.time())
