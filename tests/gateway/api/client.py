"""A client of the management API, and the exact reading of its answers."""

import json
from decimal import Decimal
from typing import Any

from django.test import Client


class ApiClient:
    """Calls /api/v1 with one key."""

    def __init__(self, secret: str) -> None:
        self._client = Client()
        self._headers = {"Authorization": f"Bearer {secret}"} if secret else {}

    def __call__(self, method: str, path: str, body: Any = None, *, raw: bytes | None = None, **headers: str) -> Any:
        data = raw if raw is not None else b"" if body is None else json.dumps(body).encode()
        return self._client.generic(
            method, f"/api/v1/{path}", data=data, content_type="application/json", headers={**self._headers, **headers}
        )


def exact(response: Any) -> Any:
    """Decode a body with every number as Decimal, so that equality is equality of money."""
    return json.loads(response.content, parse_float=Decimal, parse_int=Decimal)
