"""The one way in which a signed paper is written down, so that its bytes can be made again from what it says.

JSON with sorted names, no spaces and UTF-8 as it is; whole numbers only. ``docs/verify_receipt.py`` has the same three lines.
"""

import json
from typing import Any


def encode(document: dict[str, Any]) -> bytes:
    """Return the document's bytes. Raises: TypeError for a fraction, which has more than one way to be written."""
    _refuse_fractions(document)
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def _refuse_fractions(value: object) -> None:
    if isinstance(value, float):
        msg = f"{value!r}: money and times are whole numbers here"
        raise TypeError(msg)
    if isinstance(value, dict):
        for inner in value.values():
            _refuse_fractions(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            _refuse_fractions(inner)
