"""Chunks of a Chat Completions stream that differ in nothing but their words: all but the words is taken from the one before. Pure."""

import re

import msgspec

from gateway.dialects.base import Json

_decode_text = msgspec.json.Decoder(str).decode
_NAME = b'"content":'
_STRING = re.compile(rb' ?("(?:[^"\\]++|\\.)*+")')
_LESSONS_MAX = 3  # some hosts change something in every chunk
_PATTERN_MAX_BYTES = 4096


class RepeatedChunk:
    """What the chunks of one stream have in common, bytes and object, around the text that is all their delta has to say.

    Bytes that begin and end like those of a chunk that was read, with nothing but a JSON string between, are the same object with
    another text.
    """

    __slots__ = ("_begins", "_choice", "_chunk", "_delta", "_ends", "_lessons", "_shortest")

    def __init__(self) -> None:
        self._lessons = 0
        self._begins = self._ends = b""
        self._shortest = 0
        self._chunk: Json = {}
        self._choice: Json = {}
        self._delta: Json = {}

    def learn(self, data: bytes, chunk: Json) -> None:
        """Take ``data`` as the pattern; ``chunk`` is what it means, of one choice with some text. Its bytes may be laid out anyhow."""
        if self._lessons >= _LESSONS_MAX or len(data) > _PATTERN_MAX_BYTES:
            return
        self._lessons += 1
        at = data.find(_NAME) + len(_NAME)
        found = _STRING.match(data, at)
        if data.count(_NAME) != 1 or found is None:
            return
        self._begins, self._ends = data[: found.start(1)], data[found.end(1) :]
        self._shortest = len(self._begins) + len(self._ends) + 2
        self._chunk, self._choice = {**chunk}, {**chunk["choices"][0]}
        self._delta = {**self._choice["delta"]}

    def read(self, data: bytes) -> str:
        """Return the text in ``data``, '' if anything else is different, or if there is none."""
        begins, ends = self._begins, self._ends
        if not begins or len(data) < self._shortest or not data.startswith(begins) or not data.endswith(ends):
            return ""
        try:
            return _decode_text(data[len(begins) : -len(ends)])
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return ""

    def chunk_with(self, text: str) -> Json:
        """Return the chunk with another text."""
        return {**self._chunk, "choices": [{**self._choice, "delta": {**self._delta, "content": text}}]}
