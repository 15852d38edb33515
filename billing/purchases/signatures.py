"""Who sent a webhook: Stripe's signature of its body, checked as Stripe's client does.

Not by the client itself: a process that only receives webhooks would load all of it for one comparison, ten megabytes and, while the
machine is busy, seconds for the first event.
"""

import hashlib
import hmac
import time
from collections.abc import Iterable
from typing import Final

TOLERANCE_S: Final = 300  # of Stripe's client
_SCHEME: Final = "v1"


def is_signed(body: bytes, header: str, *, secrets: Iterable[str], now_s: float | None = None) -> bool:
    """Tell whether one of the secrets has signed the body within the last five minutes. Any header will do for an answer."""
    parts = [(*part.split("="), "")[:2] for part in header.split(",")]
    stamp = next((value for name, value in parts if name == "t"), "")
    if not (stamp.isascii() and stamp.isdigit() and len(stamp) <= len("9999999999")):
        return False
    if int(stamp) < (time.time() if now_s is None else now_s) - TOLERANCE_S:
        return False
    signed = b"%s.%s" % (stamp.encode(), body)
    expected = [hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest().encode() for secret in secrets]
    given = [value.encode(errors="replace") for name, value in parts if name == _SCHEME]
    return any(hmac.compare_digest(one, other) for one in expected for other in given)
