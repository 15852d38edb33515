"""Parts of messages, as the translating dialects need them: text, data URLs, tool results. Pure."""

import re
from typing import Any, NamedTuple

import msgspec

from gateway.dialects.base import InvalidRequest, Json

_DATA_URL = re.compile(r"^data:([\w.+-]+/[\w.+-]+)?(?:;[\w=.+-]+)*;base64,(.*)$", re.DOTALL)
_decode_json = msgspec.json.Decoder().decode


class Inline(NamedTuple):
    """Media sent inside the request: its MIME type ('' if not said) and its base64."""

    mime_type: str
    data: str


def parse_data_url(url: str) -> Inline | None:
    """Return the content of a base64 data URL, None for any other address."""
    match = _DATA_URL.match(url) if url.startswith("data:") else None
    return Inline(match[1] or "", match[2]) if match else None


def parts_of(content: Any) -> list[Json]:
    """Return content as a list of parts: text becomes one part, None none."""
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content else []
    return content or []


def text_of(content: Any) -> str:
    """Return the words of content, parts joined by newlines; other parts are skipped."""
    if isinstance(content, str):
        return content
    return "\n".join(part["text"] for part in content or () if part.get("type") == "text")


def said_text(said: Json) -> str:
    """Return the words of an assistant's message or delta, a refusal's too, parts joined as they are."""
    words = said.get("content") or said.get("refusal") or ""
    return "".join(part.get("text") or "" for part in words if isinstance(part, dict)) if isinstance(words, list) else words


def named_text(message: Json, text: str) -> str:
    """Return text with the speaker's name before it, for formats without a name field."""
    name = message.get("name")
    return f"{name}: {text}" if name else text


def call_arguments(text: str) -> Any:
    """Return a tool call's arguments as an object. Text cut short or not an object is wrapped, so that nothing is lost."""
    if not text.strip():
        return {}
    try:
        value = _decode_json(text)
    except (msgspec.MsgspecError, RecursionError):
        return {"arguments": text}
    return value if isinstance(value, dict) else {"arguments": value}


def unsupported(part: Json, place: str, format_name: str) -> InvalidRequest:
    """Return the refusal of a part that a wire format cannot carry."""
    return InvalidRequest(f"{place}: {format_name} does not take parts of type {part.get('type')}.", place)
