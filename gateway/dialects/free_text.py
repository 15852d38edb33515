"""Free text inside JSON, read while it arrives: the arguments ``{"input": "…"}`` of a function in the place of a free-text tool. Pure."""

import re
from typing import Final

import msgspec

FIELD: Final = "input"

_decode_json = msgspec.json.Decoder().decode
_OPENING = re.compile(r'\s*\{\s*"input"\s*:\s*"')
_OPENING_MAX_CHARS = 64
_SPECIAL = re.compile(r'["\\]')
_HEX4 = re.compile(r"[0-9a-fA-F]{4}")
_ESCAPES = {'"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_UNKNOWN = "\ufffd"  # what stands for half a surrogate pair
_ESCAPE_CHARS = 6  # \uXXXX


class FreeText:
    """The text of one call. Pieces may be cut anywhere, inside escapes and surrogate pairs too; each is read as soon as it can be.

    Arguments that do not begin as expected are kept to the end: of other JSON with the field its text is taken, anything else is the text
    itself, so that nothing is lost. Escapes that JSON does not know stay as they are.
    """

    __slots__ = ("_is_inside", "_kept", "_kept_chars", "_tail", "is_closed")

    def __init__(self) -> None:
        self.is_closed = False  # nothing more can come
        self._is_inside = False
        self._kept: list[str] = []  # what came before the text began
        self._kept_chars = 0
        self._tail = ""  # an escape that is not whole yet

    def feed(self, piece: str) -> str:
        """Return the text that ``piece`` completes."""
        if self.is_closed:
            return ""
        if self._is_inside:
            return self._read(piece)
        self._kept.append(piece)
        begins = self._kept_chars <= _OPENING_MAX_CHARS
        self._kept_chars += len(piece)
        if not begins:
            return ""
        source = "".join(self._kept)
        found = _OPENING.match(source)
        if found is None:
            return ""
        self._is_inside, self._kept = True, []
        return self._read(source[found.end() :])

    def finish(self) -> str:
        """Return what is left when no more pieces come."""
        if self.is_closed:
            return ""
        self.is_closed = True
        if self._is_inside:
            return _UNKNOWN if len(self._tail) >= _ESCAPE_CHARS else ""  # half a pair; the rest of a cut escape says nothing
        source = "".join(self._kept)
        try:
            value = _decode_json(source) if source.strip() else {}
        except (msgspec.MsgspecError, RecursionError):
            return source
        text = value.get(FIELD, source if value else "") if isinstance(value, dict) else source
        return text if isinstance(text, str) else source

    def _read(self, piece: str) -> str:
        source, self._tail = self._tail + piece, ""
        words: list[str] = []
        at = 0
        while found := _SPECIAL.search(source, at):
            words.append(source[at : found.start()])
            at = found.start()
            if source[at] == '"':
                self.is_closed = True
                return "".join(words)
            text, chars = _unescape(source, at)
            if not chars:
                self._tail = source[at:]
                return "".join(words)
            words.append(text)
            at += chars
        words.append(source[at:])
        return "".join(words)


def _unescape(source: str, at: int) -> tuple[str, int]:
    """Return the text of the escape at ``at`` and how many characters it takes; 0 when more must come first."""
    sign = source[at + 1 : at + 2]
    if not sign:
        return "", 0
    if sign != "u":
        return _ESCAPES.get(sign, "\\" + sign), 2
    code = _code(source, at)
    if code is not None:
        return _unescape_code(source, at, code)
    return ("", 0) if len(source) - at < _ESCAPE_CHARS else ("\\u", 2)


def _unescape_code(source: str, at: int, code: int) -> tuple[str, int]:
    if 0xDC00 <= code < 0xE000:  # noqa: PLR2004 -- the second half of a pair, without its first
        return _UNKNOWN, _ESCAPE_CHARS
    if not 0xD800 <= code < 0xDC00:  # noqa: PLR2004 -- not the first half of a pair
        return chr(code), _ESCAPE_CHARS
    follows = source[at + _ESCAPE_CHARS : at + 2 * _ESCAPE_CHARS]
    low = _code(follows, 0)
    if low is not None and 0xDC00 <= low < 0xE000:  # noqa: PLR2004
        return chr(0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00)), 2 * _ESCAPE_CHARS
    if low is None and len(follows) < _ESCAPE_CHARS and follows[:2] == "\\u"[: len(follows)]:
        return "", 0
    return _UNKNOWN, _ESCAPE_CHARS


def _code(source: str, at: int) -> int | None:
    """Return the number of the four hexadecimal digits of an escape at ``at``, None if there is none (yet)."""
    found = _HEX4.match(source, at + 2) if source.startswith("\\u", at) else None
    return int(found[0], 16) if found else None
