"""Where conversations live: the endpoint that answered last keeps the prompt in its cache, so the next turn goes there. In memory, bounded.

A conversation is named by ``session_id``, else by ``prompt_cache_key``, else by its first system message and its first other one. With a
``session_id`` it gets a home at its first answer, otherwise when a provider's cache was used, and only where reading from that cache is
cheaper than sending the prompt. The home lasts at least as long as the provider keeps a prompt, from the latest answer on.

A request of a customer and model without homes pays two look-ups; nothing is hashed for it. sticky_sharing.py tells the other processes.
"""

import time
from collections.abc import Callable
from hashlib import blake2b
from typing import Any, Final

import msgspec

from catalog.types import EndpointSpec, Usage
from gateway.dialects.base import ChatRequest, Json
from gateway.relay.catalog import Candidate
from gateway.relay.health import EndpointHealth
from gateway.relay.preferences import Preferences
from gateway.relay.routing import Route, is_named
from gateway.relay.types import Home

SESSION_MAX: Final = 256
# Longest first: one hour where the provider was asked for it, thirty minutes at OpenAI, hours on DeepSeek's disks, five minutes elsewhere.
_LIFE_S: Final = 600
_LIFE_BY_PROVIDER_S: Final = {"openai": 1_800, "azure": 1_800, "deepseek": 7_200}
_LONG_LIFE_S: Final = 3_660
_HOMES_MAX: Final = 200_000
_READ_CHARS: Final = 16_384
_ORDERS: Final = ("system", "developer")

_encode = msgspec.json.Encoder().encode


class Stickiness:
    """The homes that one process knows. ``clock`` returns Unix seconds."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._homes: dict[bytes, Home] = {}
        self._owners: dict[tuple[int, str], int] = {}  # → the latest end of a home, so that others need not be hashed
        self._news: dict[bytes, Home] = {}

    def find(self, org_id: int, request: ChatRequest) -> Home | None:
        """Return where the request's conversation lives, if it has a home."""
        if not self._owners:
            return None
        owner = org_id, request.model or ""
        if owner not in self._owners:
            return None
        name = _name_of(owner, request)
        home = self._homes.get(name) if name is not None else None
        if home is None:
            return None
        if home.until_s <= self._clock():
            del self._homes[name]  # type: ignore[arg-type]  # there is a home, so there is a name
            return None
        return home

    def note(self, org_id: int, request: ChatRequest, endpoint: EndpointSpec, usage: Usage) -> None:
        """Remember an answer that went well. Called for every one; only those that make a home cost anything."""
        used_cache = usage.cache_read_tokens or usage.cache_write_tokens or usage.cache_write_1h_tokens
        if request.kind != "chat" or not (used_cache or request.session_id):
            return
        if not request.session_id and not _is_cache_cheaper(endpoint):
            return
        owner = org_id, request.model or ""
        name = _name_of(owner, request)
        if name is None:
            return
        life_s = _LONG_LIFE_S if usage.cache_write_1h_tokens else _LIFE_BY_PROVIDER_S.get(endpoint.provider, _LIFE_S)
        before = self._homes.get(name)
        if before is not None and before.endpoint_id == endpoint.id:
            life_s = max(life_s, before.life_s)  # a cache of one hour is read by turns that write nothing
        home = Home(owner, endpoint.id, int(self._clock()) + life_s, life_s)
        self._keep(name, home)
        self._news[name] = home

    def take_news(self) -> dict[bytes, Home]:
        """Return the homes that were noted since the last call."""
        news, self._news = self._news, {}
        return news

    def hear(self, homes: dict[bytes, Home]) -> None:
        """Take over what another process noted; of two, the one that lasts longer is the newer."""
        now_s = self._clock()
        for name, home in homes.items():
            known = self._homes.get(name)
            if home.until_s > now_s and (known is None or known.until_s < home.until_s):
                self._keep(name, home)

    def forget_old(self) -> None:
        """Drop what has ended. Not for the request's path."""
        now_s = self._clock()
        self._homes = {name: home for name, home in self._homes.items() if home.until_s > now_s}
        self._owners = {owner: until_s for owner, until_s in self._owners.items() if until_s > now_s}

    def _keep(self, name: bytes, home: Home) -> None:
        self._homes.pop(name, None)
        while len(self._homes) >= _HOMES_MAX:
            del self._homes[next(iter(self._homes))]  # the oldest: a dictionary keeps the order of insertion
        self._homes[name] = home
        self._owners[home.owner] = max(home.until_s, self._owners.get(home.owner, 0))


def settle_in(route: Route, home: Home, wish: Preferences, health: EndpointHealth, *, any_model: bool = False) -> Candidate | None:
    """Put the conversation's home in front, and return it, if it is still among those that may serve.

    Not when it has an outage, nor against ``provider.order``: with an order, only an endpoint that it names keeps its conversations.
    Another model than the first is a home only for a router's name (``any_model``).
    """
    candidates = route.candidates
    for place, one in enumerate(candidates):
        if one.endpoint.id != home.endpoint_id:
            continue
        if wish.order and not is_named(wish.order, one):
            return None
        if not any_model and one.endpoint.model != candidates[0].endpoint.model:
            return None
        if health.is_down(one.endpoint.id):
            return None
        if place:
            candidates.insert(0, candidates.pop(place))
        return one
    return None


def _is_cache_cheaper(endpoint: EndpointSpec) -> bool:
    rates = endpoint.price.rates
    return rates.get("cache_read_tokens", 0) < rates.get("input_tokens", 0) and "cache_read_tokens" in rates


def _name_of(owner: tuple[int, str], request: ChatRequest) -> bytes | None:
    """Return the conversation's name; None when nothing tells it from others."""
    key: Any = request.session_id or request.body.get("prompt_cache_key")
    if isinstance(key, str) and key:
        text = b"k" + key.encode()
    else:
        begin = _beginning(request.body)
        if begin is None:
            return None
        text = b"m" + _encode(begin)
    return blake2b(b"%d\0%b\0%b" % (owner[0], owner[1].encode(), text), digest_size=16).digest()


def _beginning(body: Json) -> tuple[Any, Any] | None:
    """Return the first standing orders and the first thing said."""
    orders = None
    for message in body.get("messages") or ():
        content = message.get("content")
        if message.get("role") not in _ORDERS:
            return orders, _cut(content)
        if orders is None:
            orders = _cut(content)
    return None


def _cut(content: Any) -> Any:
    """Return enough of a long text to know it again."""
    return (content[:_READ_CHARS], len(content)) if isinstance(content, str) and len(content) > _READ_CHARS else content
