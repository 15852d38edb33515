"""Canonical chunks put in the order of blocks: thoughts, words and tool calls, one after the other, never two at once. Pure.

Formats with blocks open one, fill it and close it. Chat chunks may mix: calls that run in parallel can arrive in turns. A call is closed
when another begins and its arguments are complete; while they are not, what comes between waits.
"""

from abc import abstractmethod
from typing import Any

import msgspec

from gateway.dialects.base import Json
from gateway.dialects.client import StreamEncoder

_decode_json = msgspec.json.Decoder().decode


def is_complete(arguments: str) -> bool:
    """Whether a call's arguments are whole JSON."""
    if not arguments.rstrip().endswith("}"):
        return False
    try:
        _decode_json(arguments)
    except (msgspec.MsgspecError, RecursionError):
        return False
    return True


class Call:
    """A tool call under way. ``pieces`` are its arguments so far, of which the first ``sent`` were written out; ``is_custom`` says that
    they are free text, whose end does not show: it is whole when another call begins.
    """

    __slots__ = ("id", "index", "is_custom", "name", "pieces", "sent")

    def __init__(self, index: int, call_id: str, name: str, *, is_custom: bool = False) -> None:
        self.is_custom = is_custom
        self.index = index
        self.id = call_id
        self.name = name
        self.pieces: list[str] = []
        self.sent = 0

    @property
    def arguments(self) -> str:
        """All arguments so far."""
        return "".join(self.pieces)


class BlockEncoder(StreamEncoder):
    """Base of the encoders of formats with blocks. Subclasses write events into ``_out``; only the first choice is theirs to tell."""

    __slots__ = ("_call", "_calls", "_finish_reason", "_held", "_key", "_native", "_out", "_started", "_waiting")

    def __init__(self) -> None:
        self._out: list[bytes] = []
        self._started = False
        self._key: Any = None  # what the open block is; None: none is open
        self._call: Call | None = None  # the call in the open block
        self._calls: dict[int, Call] = {}
        self._waiting: list[Call] = []
        self._held: list[Json] = []  # choices that came while an incomplete call was open
        self._finish_reason = ""
        self._native = ""

    # --- what a format writes ---

    @abstractmethod
    def _write_start(self) -> None: ...

    @abstractmethod
    def _open_text(self) -> None: ...

    @abstractmethod
    def _words(self, text: str) -> bytes:
        """Return the event of words in the open block of text."""

    @abstractmethod
    def _open_thoughts(self, detail: Json) -> None: ...

    @abstractmethod
    def _write_thoughts(self, detail: Json) -> None: ...

    @abstractmethod
    def _write_sealed(self, detail: Json) -> None:
        """Write thoughts that cannot be read as a block of their own."""

    @abstractmethod
    def _open_call(self, call: Call) -> None: ...

    @abstractmethod
    def _write_arguments(self, piece: str) -> None: ...

    @abstractmethod
    def _write_citations(self, annotations: list[Json]) -> None: ...

    def _write_places(self, citations: list[Any]) -> None:
        """Write citations of documents that the request had; formats that know none leave them out."""

    def _write_images(self, images: list[Json]) -> None:
        """Write pictures that the model made, as blocks of their own; formats that cannot carry them leave them out."""

    @abstractmethod
    def _write_end_of_block(self) -> None: ...

    # --- order ---

    def encode(self, chunks: list[Json]) -> bytes:
        """Return the events of ``chunks``."""
        # Nearly every chunk of a stream: a few words more, and nothing else.
        if self._key == "text" and len(chunks) == 1 and (text := _only_words(chunks[0])):
            return self._words(text)
        self._out = []
        self._start()
        for chunk in chunks:
            for choice in chunk["choices"]:
                if choice["index"] == 0:
                    self._take(choice)
        return b"".join(self._out)

    def _start(self) -> None:
        if not self._started:
            self._started = True
            self._write_start()

    def _take(self, choice: Json) -> None:
        delta = choice["delta"]
        calls = delta.get("tool_calls")
        if self._call is not None and _says_something(delta):
            if not self._call.is_custom and is_complete(self._call.arguments):
                self._close()
                self._tell_held()
            else:
                kept = {name: value for name, value in delta.items() if name != "tool_calls"}
                self._held.append({**choice, "delta": kept, "finish_reason": None})
                delta = {}
        if details := delta.get("reasoning_details"):
            for detail in details:
                self._take_detail(detail)
        if text := delta.get("content") or delta.get("refusal"):
            self._switch("text")
            self._out.append(self._words(text))
        if "annotations" in delta or "citations" in delta:
            self._cite(delta)
        if images := delta.get("images"):
            self._close()
            self._write_images(images)
        for call in calls or ():
            self._take_call(call)
        if choice.get("finish_reason"):
            self._finish_reason = choice["finish_reason"]
            self._native = choice.get("native_finish_reason") or ""

    def _cite(self, delta: Json) -> None:
        if annotations := delta.get("annotations"):
            self._switch("text")
            self._write_citations(annotations)
        if citations := delta.get("citations"):
            self._switch("text")
            self._write_places(citations)

    def _switch(self, key: Any) -> None:
        """Make the block ``key`` the open one."""
        if self._key != key:
            self._close()
            self._key = key
            if key == "text":
                self._open_text()

    def _take_detail(self, detail: Json) -> None:
        kind = detail.get("type")
        if kind not in ("reasoning.text", "reasoning.summary"):
            self._close()
            self._write_sealed(detail)
            return
        key = ("thoughts", kind, detail.get("format"), detail.get("index"))
        if self._key != key:
            self._close()
            self._key = key
            self._open_thoughts(detail)
        self._write_thoughts(detail)
        if detail.get("signature"):
            self._close()

    def _take_call(self, delta: Json) -> None:
        is_custom = "custom" in delta
        function = delta["custom" if is_custom else "function"]
        call = self._calls.get(delta["index"])
        if call is None:
            call = Call(len(self._calls), delta.get("id", ""), function.get("name", ""), is_custom=is_custom)
            self._calls[delta["index"]] = call
            self._waiting.append(call)
        if piece := function.get("input" if is_custom else "arguments"):
            call.pieces.append(piece)
        self._advance(at_end=False)

    def _advance(self, *, at_end: bool) -> None:
        """Write what the open call has got; when it is complete and others wait, go on to them."""
        while True:
            if self._call is not None:
                self._flush(self._call)
                if not self._waiting or not (at_end or self._call.is_custom or is_complete(self._call.arguments)):
                    return
            elif not self._waiting:
                return
            self._close()
            self._call = self._waiting.pop(0)
            self._key = ("call", self._call.index)
            self._open_call(self._call)

    def _flush(self, call: Call) -> None:
        for piece in call.pieces[call.sent :]:
            self._write_arguments(piece)
        call.sent = len(call.pieces)

    def _close(self) -> None:
        if self._key is not None:
            self._write_end_of_block()
            self._key = self._call = None

    def _end(self) -> None:
        """Write what waited and close what is open."""
        self._start()
        self._advance(at_end=True)
        self._close()
        self._tell_held()
        self._close()

    def _tell_held(self) -> None:
        held, self._held = self._held, []
        for choice in held:
            self._take(choice)


def _only_words(chunk: Json) -> Any:
    """Return the words of the first choice, if ``chunk`` has nothing else to say; '' otherwise."""
    choices = chunk["choices"]
    if len(choices) != 1:
        return ""
    choice = choices[0]
    delta = choice["delta"]
    if len(delta) != 1 or choice["index"] or choice["finish_reason"] or choice.get("logprobs"):
        return ""
    return delta.get("content")


def _says_something(delta: Json) -> bool:
    return any(delta.get(name) for name in ("reasoning_details", "content", "refusal", "annotations", "citations", "images"))
