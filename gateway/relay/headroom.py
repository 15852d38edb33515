"""How much of a rate limit is left, by what a provider's answer says in its headers. Pure."""

from collections.abc import Iterable
from typing import Final

# Header → what it counts and whether it is the limit or what remains. OpenAI's names are most hosts'; Anthropic has its own.
_HEADERS: Final[dict[bytes, tuple[str, str]]] = {
    b"x-ratelimit-limit-requests": ("requests", "limit"),
    b"x-ratelimit-remaining-requests": ("requests", "remaining"),
    b"x-ratelimit-limit-tokens": ("tokens", "limit"),
    b"x-ratelimit-remaining-tokens": ("tokens", "remaining"),
    b"x-ratelimit-limit": ("requests", "limit"),
    b"x-ratelimit-remaining": ("requests", "remaining"),
    b"anthropic-ratelimit-requests-limit": ("requests", "limit"),
    b"anthropic-ratelimit-requests-remaining": ("requests", "remaining"),
    b"anthropic-ratelimit-input-tokens-limit": ("input", "limit"),
    b"anthropic-ratelimit-input-tokens-remaining": ("input", "remaining"),
    b"anthropic-ratelimit-output-tokens-limit": ("output", "limit"),
    b"anthropic-ratelimit-output-tokens-remaining": ("output", "remaining"),
}


def read_headroom(headers: Iterable[tuple[bytes, bytes]]) -> float | None:
    """Return the share of the tightest limit that is left, 0 to 1; None when the answer names no limit."""
    found: dict[tuple[str, str], float] = {}
    for name, value in headers:
        place = _HEADERS.get(name)
        if place is not None:
            try:
                found[place] = float(value)
            except ValueError:
                continue
    shares = [
        max(0.0, min(found[kind, "remaining"] / limit, 1.0))
        for (kind, side), limit in found.items()
        if side == "limit" and limit > 0 and (kind, "remaining") in found
    ]
    return min(shares, default=None)
