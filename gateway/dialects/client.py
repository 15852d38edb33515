"""What clients speak: requests in, answers, streams and errors out, around the canonical chat form. Pure.

The relay knows only ``ClientDialect``; Chat Completions is the canonical one and translates nothing.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import NamedTuple, Protocol

from catalog.types import Usage
from gateway.dialects.base import ChatRequest, Json
from gateway.relay.sse import KEEPALIVE


class Head(NamedTuple):
    """What is known of an answer before its first word. ``id`` is the public ``gen-`` id; ``usage`` what the provider reported so far."""

    id: str
    model: str
    provider: str
    created_s: int
    usage: Usage | None = None


class Closing(NamedTuple):
    """What is known once an answer is settled. Amounts in nanos: what the customer was charged, and the part of it for the prompt.

    ``stop_sequence`` is the one that ended the answer, where the provider said so. ``metadata`` is the road it took, if the client asked.
    """

    usage: Usage
    cost_nanos: int
    prompt_cost_nanos: int
    service_tier: str = ""
    stop_sequence: str | None = None
    metadata: Json | None = None

    @property
    def extras(self) -> Json:
        """What the end of an answer says besides."""
        return {} if self.metadata is None else {"openrouter_metadata": self.metadata}


class StreamEncoder(ABC):
    """Turns canonical chunks into one client's events, one instance per stream. Every method returns bytes to send, possibly none.

    ``keepalive`` is a sign of life that this dialect's clients skip, valid between any two results.
    """

    __slots__ = ()

    keepalive = KEEPALIVE

    @abstractmethod
    def encode(self, chunks: list[Json]) -> bytes:
        """Return the events of ``chunks``."""

    @abstractmethod
    def finish(self, closing: Closing) -> bytes:
        """Return the events that end an answer: what is still open, usage with cost, the end mark."""

    @abstractmethod
    def fail(self, error: Json, closing: Closing | None) -> bytes:
        """Return the events that end a stream with ``error`` (the object of ``ApiError``). ``closing`` is None if nothing was answered."""


class ChoiceFilter(StreamEncoder):
    """Stands before another encoder and changes or leaves out choices of its chunks; chunks without choices are left out."""

    __slots__ = ("_encoder", "keepalive")

    def __init__(self, encoder: StreamEncoder) -> None:
        self._encoder = encoder
        self.keepalive = encoder.keepalive

    @abstractmethod
    def _shown(self, choice: Json) -> Json | None:
        """Return what is to be told of ``choice`` now, None if that is nothing."""

    def encode(self, chunks: list[Json]) -> bytes:
        """Return the events of what is left of ``chunks``."""
        shown = []
        for chunk in chunks:
            choices = [kept for choice in chunk["choices"] if (kept := self._shown(choice)) is not None]
            if choices:
                shown.append({**chunk, "choices": choices})
        data = self._encoder.encode(shown)
        self.keepalive = self._encoder.keepalive
        return data

    def finish(self, closing: Closing) -> bytes:
        """Return the events that end an answer."""
        return self._encoder.finish(closing)

    def fail(self, error: Json, closing: Closing | None) -> bytes:
        """Return the events that end a stream with ``error``."""
        return self._encoder.fail(error, closing)


class ClientDialect(Protocol):
    """One client wire format. A dialect has no state, so one object serves all.

    ``api`` is its own word (chat, messages, …), ``api_type`` the one on the receipt. ``shows_failed_finish`` says whether a whole answer
    can say that it ended in an error; where it cannot, the client gets an error instead.
    """

    api: str
    api_type: str
    shows_failed_finish: bool

    def decode_request(self, data: bytes) -> ChatRequest:
        """Read a client's body. Raises: InvalidRequest with the field and what it must be."""
        ...

    def encode_answer(self, body: Json, request: ChatRequest, head: Head, closing: Closing) -> bytes:
        """Write a whole answer; ``body`` is the provider's, canonical (``Answer.body``), and may be changed."""
        ...

    def new_stream_encoder(self, request: ChatRequest, head: Head) -> StreamEncoder:
        """Return an encoder for one stream."""
        ...

    def encode_error(self, error: Json, generation_id: str) -> bytes:
        """Write an error body; ``error`` is the object of ``ApiError``, ``generation_id`` '' before there is one."""
        ...


ErrorEncoder = Callable[[Json, str], bytes]
