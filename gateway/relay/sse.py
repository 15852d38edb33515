"""Server-sent events: an incremental decoder of bytes, and encoders. Pure; no input or output.

Follows the WHATWG event-stream grammar: lines end in LF, CR or CRLF, comments are dropped, several ``data`` lines make one event,
a byte order mark may lead. ``id`` and ``retry`` are of no use here and are ignored.
"""

from functools import lru_cache
from typing import NamedTuple, Protocol

EVENT_MAX_BYTES = 32 * 1024 * 1024  # a picture in base64 fits
DONE_DATA = b"[DONE]"
DONE = b"data: [DONE]\n\n"
KEEPALIVE = b": TOLLWAY PROCESSING\n\n"

_BOM = b"\xef\xbb\xbf"


class MalformedStream(Exception):
    """The bytes of a stream are not what its framing allows; nothing after them can be trusted."""


class SseTooLarge(MalformedStream):
    """One event grew beyond the bound; the stream cannot be trusted any further."""


class SseEvent(NamedTuple):
    """``event`` is '' when the stream named none. ``data`` is the raw bytes, lines joined by LF."""

    event: str
    data: bytes


class Frames(Protocol):
    """What takes the bytes of a stream apart into events, whatever its framing."""

    def feed(self, piece: bytes) -> list[SseEvent]:
        """Return the events that ``piece`` completes. Raises: MalformedStream."""
        ...

    def finish(self) -> list[SseEvent]:
        """Return the event that the end of the stream completes, if any."""
        ...


class SseDecoder:
    """Turns pieces of whatever size the network gave into events.

    Bytes are joined, never decoded, so a character split over two pieces survives.
    """

    __slots__ = ("_data", "_event", "_fresh", "_max_bytes", "_size", "_skip_lf", "_tail", "_tail_bytes")

    def __init__(self, *, max_event_bytes: int = EVENT_MAX_BYTES) -> None:
        self._max_bytes = max_event_bytes
        self._data: list[bytes] = []
        self._event = ""
        self._size = 0  # bytes of complete lines of the event under way
        self._tail: list[bytes] = []  # pieces of an incomplete line
        self._tail_bytes = 0
        self._skip_lf = False  # the last piece ended in CR: a leading LF belongs to it
        self._fresh = True  # nothing but (part of) a byte order mark was seen

    def feed(self, piece: bytes) -> list[SseEvent]:
        """Return the events that ``piece`` completes. Raises: SseTooLarge."""
        if not piece:
            return []
        # The common case by far: whole events, each of one data line and perhaps a name.
        if (
            piece[-2:] == b"\n\n"
            and not (self._tail or self._data or self._event)
            and b"\r" not in piece
            and len(piece) <= self._max_bytes
            and (plain := _read_plain(piece)) is not None
        ):
            self._fresh = self._skip_lf = False
            return plain
        if self._skip_lf:
            self._skip_lf = False
            if piece.startswith(b"\n"):
                piece = piece[1:]
        if b"\n" not in piece and b"\r" not in piece:
            self._keep(piece)
            return []
        return self._split(piece)

    def finish(self) -> list[SseEvent]:
        """Return the event that the end of the stream cut short of its blank line, if it has data. Some servers omit that line."""
        events: list[SseEvent] = []
        if self._tail:
            line = b"".join(self._tail)
            self._tail, self._tail_bytes = [], 0
            self._line(line, events)
        self._line(b"", events)
        return events

    def _keep(self, part: bytes) -> None:
        self._tail.append(part)
        self._tail_bytes += len(part)
        if self._size + self._tail_bytes > self._max_bytes:
            msg = f"an event of the stream is larger than {self._max_bytes} bytes"
            raise SseTooLarge(msg)

    def _split(self, piece: bytes) -> list[SseEvent]:
        if self._tail:
            piece = b"".join((*self._tail, piece))
            self._tail, self._tail_bytes = [], 0
        lines = piece.splitlines()
        last = piece[-1]
        rest = b"" if last in (10, 13) else lines.pop()
        self._skip_lf = last == 13  # noqa: PLR2004 -- CR
        events: list[SseEvent] = []
        for line in lines:
            self._line(line, events)
        if rest:
            self._keep(rest)
        return events

    def _line(self, line: bytes, events: list[SseEvent]) -> None:
        if self._fresh:
            self._fresh = False
            line = line.removeprefix(_BOM)
        if not line:
            if self._data:
                events.append(SseEvent(self._event, self._data[0] if len(self._data) == 1 else b"\n".join(self._data)))
                self._data = []
            self._event = ""
            self._size = 0
            return
        self._size += len(line)
        if self._size > self._max_bytes:
            msg = f"an event of the stream is larger than {self._max_bytes} bytes"
            raise SseTooLarge(msg)
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._data.append(value)
        elif name == b"event":
            self._event = value.decode("utf-8", "replace")


def _read_plain(piece: bytes) -> list[SseEvent] | None:
    """Return the events of ``piece``, which ends in a blank line and has no CR; None if they are not of the plainest kind."""
    events: list[SseEvent] = []
    for block in piece[:-2].split(b"\n\n"):
        if block[:6] == b"data: ":
            if b"\n" in block:
                return None
            events.append(_make(SseEvent, ("", block[6:])))
        elif block[:7] == b"event: ":
            lines = block.split(b"\n")
            if len(lines) != 2 or lines[1][:6] != b"data: ":  # noqa: PLR2004 -- the name and the data
                return None
            events.append(_make(SseEvent, (_event_name(lines[0]), lines[1][6:])))
        else:
            return None
    return events


_make = tuple.__new__  # without the keywords of a named tuple, at a third of its cost


@lru_cache(maxsize=256)
def _event_name(line: bytes) -> str:
    """Return the name in ``event: NAME``. A stream has few, each over and over."""
    return line[7:].decode("utf-8", "replace")


def encode_data(data: bytes) -> bytes:
    """Return ``data`` (JSON on one line) as an event without a name."""
    return b"data: " + data + b"\n\n"


def encode_event(event: str, data: bytes) -> bytes:
    """Return a named event; ``data`` may have several lines."""
    lines = b"".join(b"data: " + line + b"\n" for line in data.splitlines() or [b""])
    return b"event: " + event.encode() + b"\n" + lines + b"\n"


def encode_comment(text: str) -> bytes:
    """Return a comment, which clients skip: a sign of life. ``text`` is one line."""
    return b": " + text.encode() + b"\n\n"
