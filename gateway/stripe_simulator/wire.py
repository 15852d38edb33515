"""What goes over the wire: nested form fields in, errors out, ids and whole numbers as Stripe writes them."""

import re
import secrets
import string
from typing import Any
from urllib.parse import parse_qsl

Object = dict[str, Any]

_PART = re.compile(r"[^\[\]]+|(?<=\[)(?=\])")
_ALPHABET = string.ascii_letters + string.digits
_AMOUNT_MAX = 99_999_999  # of cents, as Stripe has it


class ApiError(Exception):
    """An answer other than 200. ``body`` is what Stripe sends."""

    def __init__(self, status: int, message: str, *, type_: str = "invalid_request_error", **fields: Any) -> None:
        super().__init__(message)
        self.status = status
        self.body: Object = {"error": {"type": type_, "message": message} | fields}


def new_id(prefix: str) -> str:
    """Return an id such as ``pi_3…``."""
    return f"{prefix}_{''.join(secrets.choice(_ALPHABET) for _ in range(24))}"


def read_form(body: str) -> Object:
    """Decode ``a[b]=1&c[0]=2&d[]=3`` into {'a': {'b': '1'}, 'c': ['2'], 'd': ['3']}."""
    fields: Object = {}
    for name, value in parse_qsl(body, keep_blank_values=True):
        parts = _PART.findall(name) or [name]
        node = fields
        for part in parts[:-1]:
            node = node.setdefault(part, {})
        node[parts[-1] or str(len(node))] = value
    return {name: _with_lists(value) for name, value in fields.items()}


def _with_lists(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    if value and all(key.isdigit() for key in value):
        return [_with_lists(value[key]) for key in sorted(value, key=int)]
    return {key: _with_lists(item) for key, item in value.items()}


def whole(fields: Object, name: str) -> int:
    """Return a positive amount of cents. Raises: ApiError as Stripe words it."""
    text = str(fields.get(name, ""))
    if not text:
        raise ApiError(400, f"Missing required param: {name}.", param=name, code="parameter_missing")
    if not re.fullmatch(r"-?\d+", text):
        raise ApiError(400, f"Invalid integer: {text}", param=name, code="parameter_invalid_integer")
    if int(text) < 1:
        raise ApiError(400, "This value must be greater than or equal to 1.", param=name, code="parameter_invalid_integer")
    if int(text) > _AMOUNT_MAX:
        raise ApiError(400, "Amount must be no more than $999,999.99", param=name, code="amount_too_large")
    return int(text)


def text(fields: Object, name: str) -> str | None:
    """Return a field's text, None when it is missing or empty."""
    return fields.get(name) or None


def is_true(fields: Object, name: str) -> bool:
    """Read a boolean."""
    return str(fields.get(name, "")).lower() == "true"


def page_of(items: list[Object], fields: Object, *, url: str) -> Object:
    """Return one page of a list, newest first, with Stripe's cursors."""
    limit = min(int(fields.get("limit") or 10), 100)
    ids = [item["id"] for item in items]
    if after := fields.get("starting_after"):
        items = items[ids.index(after) + 1 :] if after in ids else []
    elif before := fields.get("ending_before"):
        items = items[: ids.index(before)] if before in ids else []
        items = items[-limit:]
    return {"object": "list", "url": url, "has_more": len(items) > limit, "data": items[:limit]}
