"""Idempotency keys as Stripe keeps them: the first answer is kept and repeated, whatever it was.

Not kept: answers to requests that failed validation, and conflicts. Other parameters under the same key are an error.
"""

import hashlib

from gateway.stripe_simulator.wire import ApiError, Object

_BAD_REQUEST = 400
_NOT_FOUND = 404


class Idempotency:
    """Answers by key. ``begin`` before the work, ``finish`` after it."""

    def __init__(self) -> None:
        self._answers: dict[str, tuple[str, int, Object]] = {}
        self._running: dict[str, str] = {}

    def begin(self, key: str, *, method: str, path: str, body: str) -> tuple[int, Object] | None:
        """Return the kept answer, or None when the work is to be done. Raises: ApiError for a conflict or other parameters."""
        asked = hashlib.sha256(f"{method} {path} {body}".encode()).hexdigest()
        if key in self._running:
            raise ApiError(
                409, f"There is currently another in-progress request using this Idempotency Key ({key}).", code="idempotency_key_in_use"
            )
        if key in self._answers:
            first, status, answer = self._answers[key]
            if first != asked:
                raise ApiError(
                    400,
                    f"Keys for idempotent requests can only be used with the same parameters they were first used with ({key}).",
                    type_="idempotency_error",
                )
            return status, answer
        self._running[key] = asked
        return None

    def finish(self, key: str, status: int, answer: Object) -> None:
        """Keep the answer, unless the request was never carried out."""
        asked = self._running.pop(key, "")
        if status not in {_BAD_REQUEST, _NOT_FOUND}:
            self._answers[key] = (asked, status, answer)
