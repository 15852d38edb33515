"""Values of a request body or query, read strictly. Every error names the parameter and says what it may be."""

import datetime as dt
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, NoReturn

from billing.money import NotAnAmount, nanos_from_usd
from gateway.relay.errors import BadRequest

_OFFSET_MAX = 2**31


def refuse(name: str, rule: str) -> NoReturn:
    """Raise the 400 for one parameter. Raises: BadRequest."""
    raise BadRequest(f"{name} {rule}", metadata={"param": name})


def read_object(body: Any) -> dict[str, Any]:
    """Return the body if it is a JSON object. Raises: BadRequest."""
    if not isinstance(body, dict):
        raise BadRequest("The request body must be a JSON object")
    return body


def read_text(body: Mapping[str, Any], name: str) -> str:
    """Return a string that must be there. Raises: BadRequest."""
    value = body.get(name)
    if not isinstance(value, str):
        refuse(name, "must be a string" if name in body else "is required")
    return value


def read_flag(body: Mapping[str, Any], name: str) -> bool:
    """Return a boolean. Raises: BadRequest."""
    value = body.get(name)
    if not isinstance(value, bool):
        refuse(name, "must be true or false")
    return value


def read_usd(body: Mapping[str, Any], name: str) -> int | None:
    """Return dollars as nanos, null as None. Raises: BadRequest for strings, negative amounts and more than nine decimals."""
    value = body.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        refuse(name, "must be a number of US dollars or null")
    try:
        nanos = nanos_from_usd(value)
    except NotAnAmount:
        refuse(name, "must be an amount of US dollars with at most nine decimals")
    if nanos < 0:
        refuse(name, "must not be negative")
    return nanos


def read_choice(body: Mapping[str, Any], name: str, choices: Sequence[str]) -> str:
    """Return one of ``choices``, null as ''. Raises: BadRequest."""
    value = body.get(name)
    if value is None:
        return ""
    if value not in choices:
        refuse(name, f"must be {', '.join(choices)} or null")
    return str(value)


def read_moment(body: Mapping[str, Any], name: str) -> dt.datetime | None:
    """Return a moment in UTC, null as None. Raises: BadRequest for what is not ISO 8601 or has no offset."""
    value = body.get(name)
    if value is None:
        return None
    try:
        moment = dt.datetime.fromisoformat(value)
        if moment.tzinfo is not None:
            return moment.astimezone(dt.UTC)
    except (TypeError, ValueError, OverflowError):
        pass
    refuse(name, "must be an ISO 8601 timestamp in UTC, such as 2027-12-31T23:59:59Z, or null")


def read_query_flag(query: Mapping[str, Any], name: str) -> bool:
    """Return a flag of the query string, false when absent. Raises: BadRequest."""
    value = str(query.get(name, "false")).lower()
    if value not in {"true", "false", "1", "0"}:
        refuse(name, "must be true or false")
    return value in {"true", "1"}


def read_offset(query: Mapping[str, Any]) -> int:
    """Return ``offset`` of the query string, 0 when absent. Raises: BadRequest."""
    value = str(query.get("offset", "0"))
    if not (value.isascii() and value.isdigit()) or int(value[:20]) > _OFFSET_MAX:
        refuse("offset", "must be a whole number, zero or more")
    return int(value)
