"""How the operator's providers are reached beyond address and key: options, headers for every call, whose quirks they share, how late."""

import re
from collections.abc import Mapping
from typing import Final

import msgspec
from django.conf import settings

from accounts.secrets import Sealer
from catalog.models import Provider

COLUMNS: Final = ("like", "options", "sealed_headers", "is_last_resort")
_OPTION_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,39}")
_OPTION_VALUE: Final = re.compile(r"[A-Za-z0-9._:,=-]{1,200}")
_HEADER_NAME: Final = re.compile(r"[a-z0-9!#$%&'*+.^_`|~-]{1,100}")
_HEADERS_MAX: Final = 20
_HEADER_MAX_CHARS: Final = 2000
# Written by the data plane itself; another value would break the framing of a request or send it elsewhere.
_NOT_THEIRS: Final = frozenset(
    {"host", "content-length", "content-type", "transfer-encoding", "connection", "upgrade", "te", "trailer", "accept-encoding", "expect"}
)


class BadReach(ValueError):
    """An option or a header cannot be used; the message says why. It never repeats a header's value."""


class Reach(msgspec.Struct, frozen=True, kw_only=True):
    """What to change. An option or header with the value '' is taken away, names that are not given stay; None leaves a field as it is."""

    like: str | None = None
    options: Mapping[str, str] = {}
    headers: Mapping[str, str] = {}
    is_last_resort: bool | None = None

    def __bool__(self) -> bool:
        return self != Reach()


def open_headers(provider: Provider) -> dict[str, str]:
    """Return the headers that every call carries. Raises: CannotOpen."""
    if not provider.sealed_headers:
        return {}
    sealer = Sealer(settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)
    return msgspec.json.decode(sealer.open_sealed(bytes(provider.sealed_headers)), type=dict[str, str])


def change_reach(provider: Provider, reach: Reach) -> None:
    """Write ``reach`` into the row, which the caller has locked, and save it. Raises: BadReach; then nothing has changed."""
    headers = _merged_headers(provider, reach.headers) if reach.headers else None
    provider.options = _merged_options(provider.options, reach.options)
    if headers is not None:
        text = msgspec.json.encode(headers, order="sorted").decode()
        provider.sealed_headers = Sealer(settings.SECRET_KEY).seal(text) if headers else None
    if reach.like is not None:
        provider.like = reach.like
    if reach.is_last_resort is not None:
        provider.is_last_resort = reach.is_last_resort
    provider.save(update_fields=list(COLUMNS))


def _merged_options(held: Mapping[str, str], changes: Mapping[str, str]) -> dict[str, str]:
    for name, value in changes.items():
        if not _OPTION_NAME.fullmatch(name) or (value and not _OPTION_VALUE.fullmatch(value)):
            msg = f"option {name}: a lower-case name, and a value of letters, digits and . _ : , = - only"
            raise BadReach(msg)
    return {name: value for name, value in {**held, **changes}.items() if value}


def _merged_headers(provider: Provider, changes: Mapping[str, str]) -> dict[str, str]:
    lower = {name.lower(): value.strip() for name, value in changes.items()}
    for name, value in lower.items():
        if not _HEADER_NAME.fullmatch(name) or name in _NOT_THEIRS:
            msg = f"header {name[:100]!r} cannot be set: it is no header's name, or one that the gateway writes itself"
            raise BadReach(msg)
        if not value.isascii() or (value and not value.isprintable()) or len(value) > _HEADER_MAX_CHARS:
            msg = f"header {name}: its value must be printable ASCII, at most {_HEADER_MAX_CHARS} characters"
            raise BadReach(msg)
    merged = {name: value for name, value in {**open_headers(provider), **lower}.items() if value}
    if len(merged) > _HEADERS_MAX:
        msg = f"a provider takes at most {_HEADERS_MAX} headers"
        raise BadReach(msg)
    return merged
