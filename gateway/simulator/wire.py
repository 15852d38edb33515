"""What the simulator's three wire formats share. Pure."""

import hashlib
from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

import msgspec

from gateway.simulator.directives import Directives
from gateway.simulator.replies import SimReply, SimRequest
from gateway.simulator.tokens import MESSAGE_TOKENS, count_tokens

Json = dict[str, Any]
encode_json = msgspec.json.Encoder().encode
_encode_sorted = msgspec.json.Encoder(order="sorted").encode


class BadBody(Exception):
    """The request is not one of this wire format."""


class Frame(NamedTuple):
    """One event of a stream: its name ('' for none), its data, and how many tokens of output it carries."""

    event: str
    data: bytes
    tokens: int = 0


class Wire(Protocol):
    """One wire format. ``model`` comes from the path where the format has it there."""

    def read(self, body: Json, *, model: str, stream: bool) -> SimRequest:
        """Reduce a body. Raises: BadBody."""
        ...

    def answer(self, reply: SimReply, *, directives: Directives) -> Json:
        """Write a whole answer."""
        ...

    def frames(self, reply: SimReply, request: SimRequest, *, directives: Directives) -> Iterator[Frame]:
        """Write a stream."""
        ...

    def error(self, status: int, message: str) -> Json:
        """Write an error body."""
        ...

    def error_frame(self, message: str) -> Frame:
        """Write an error inside a stream."""
        ...


class Prompt:
    """Adds up a prompt part by part; remembers the last part marked for caching."""

    def __init__(self) -> None:
        self.tokens = MESSAGE_TOKENS
        self.prefix_tokens = 0
        self.prefix_key = ""
        self.prefix_is_1h = False
        self._digest = hashlib.sha256()

    @property
    def key(self) -> str:
        """Names the whole prompt so far."""
        return self._digest.hexdigest()

    def add_text(self, text: str, mark: Any = None) -> None:
        """Add words; ``mark`` is the part's cache_control, if any."""
        self.tokens += count_tokens(text)
        self._digest.update(text.encode())
        self._digest.update(b"\0")
        if isinstance(mark, dict):
            self.prefix_tokens, self.prefix_key = self.tokens, self.key
            self.prefix_is_1h = mark.get("ttl") == "1h"

    def add_media(self, source: Any, tokens: int) -> None:
        """Add a part that is no text, at a flat count."""
        self.tokens += tokens
        self._digest.update(_encode_sorted(source))

    def add_json(self, value: Any, mark: Any = None) -> None:
        """Add a structure, such as a tool, counted by its JSON with sorted keys."""
        self.add_text(_encode_sorted(value).decode(), mark)

    def start_message(self) -> None:
        """Count what stands around a message."""
        self.tokens += MESSAGE_TOKENS
