"""Vectors as they travel: JSON numbers, or the base64 of little-endian 32-bit floats. Kept as raw JSON until they must change. Pure."""

import base64
import binascii
import struct

import msgspec

from gateway.dialects.base import BadAnswer
from gateway.dialects.faults import malformed

_decode_text = msgspec.json.Decoder(str).decode
_decode_numbers = msgspec.json.Decoder(list[float]).decode
_encode_json = msgspec.json.Encoder().encode
_FLOAT_BYTES = 4


def check_vector(raw: msgspec.Raw) -> None:
    """Make sure that a provider's vector is one. Raises: BadAnswer."""
    if bytes(raw).startswith(b'"'):
        numbers_of(raw)
        return
    try:
        _decode_numbers(raw)
    except msgspec.MsgspecError as error:
        raise BadAnswer(malformed("an embedding that is no vector")) from error


def base64_of(raw: msgspec.Raw) -> msgspec.Raw:
    """Return a checked vector in base64."""
    if bytes(raw).startswith(b'"'):
        return raw
    numbers = _decode_numbers(raw)
    return msgspec.Raw(_encode_json(base64.b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode()))


def numbers_of(raw: msgspec.Raw) -> msgspec.Raw:
    """Return the vector as numbers. Raises: BadAnswer for what is no vector."""
    if not bytes(raw).startswith(b'"'):
        return raw
    try:
        data = base64.b64decode(_decode_text(raw), validate=True)
        numbers = struct.unpack(f"<{len(data) // _FLOAT_BYTES}f", data)
    except (msgspec.MsgspecError, binascii.Error, struct.error) as error:
        raise BadAnswer(malformed("an embedding that is no vector")) from error
    return msgspec.Raw(_encode_json(numbers))
