"""Thoughts of one provider carried through a client that speaks another's format: packed into a field that clients send back untouched.

Not secret, not signed: the client sees what it would see in Chat Completions as well. Pure.
"""

import base64
import binascii

import msgspec

from gateway.dialects.base import Json

_MARK = "tollway1:"
# In order, so that pieces and whole make the same word.
_encode_json = msgspec.json.Encoder(order="sorted").encode
_decode_json = msgspec.json.Decoder().decode


def seal_detail(detail: Json) -> str:
    """Return a reasoning detail as one opaque word."""
    return _MARK + base64.urlsafe_b64encode(_encode_json(detail)).decode()


def open_detail(data: str) -> Json | None:
    """Return the detail in ``data``, None if it is no word of ours."""
    if not data.startswith(_MARK):
        return None
    try:
        detail = _decode_json(base64.urlsafe_b64decode(data[len(_MARK) :]))
    except (binascii.Error, ValueError, msgspec.MsgspecError, RecursionError):
        return None
    return detail if isinstance(detail, dict) and isinstance(detail.get("type"), str) else None


def is_sealed(data: object) -> bool:
    """Whether ``data`` is a word of ours."""
    return isinstance(data, str) and data.startswith(_MARK)
