"""The error tree of the data plane, and the body each client sees.

ApiError
├── BadRequest            400  what is wrong and where (param)
├── Unauthorized          401
├── OutOfCredit           402  balance or key limit, with the remedy
├── Forbidden             403
├── NotFound              404  path, model, generation
├── MethodNotAllowed      405
├── BodyTimeout           408
├── Repeated              409  the Idempotency-Key is in use, or stands for something else
├── BodyTooLarge          413
├── NoEndpoint            404 or 503  with ``availability`` (code, retryable, excluded_by)
├── ProviderFailed        502, 503, 429, 4xx  the upstream's reason, labelled with its provider
└── Unavailable           503  ours; always with Retry-After
    └── AccountFrozen     503  the books are in doubt about the account's balance

Shape: ``{"error": {"code": int, "message": str, "metadata": {...}}}``. ``metadata`` always has ``error_type`` (stable word), ``source``
(gateway, provider, key, account), ``retryable`` and, where a person can do something, ``remedy_hint``.
"""

from typing import Any

import msgspec

_encode = msgspec.json.Encoder().encode


class ApiError(Exception):
    """An answer that is not a success. ``retry_after_s`` becomes the Retry-After header."""

    status = 500
    error_type = "server"
    source = "gateway"
    retryable = False

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        error_type: str | None = None,
        remedy: str = "",
        retry_after_s: float | None = None,
        retryable: bool | None = None,
        metadata: dict[str, Any] | None = None,
        availability: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = self.status if status is None else status
        self.error_type = self.error_type if error_type is None else error_type
        self.remedy = remedy
        self.retry_after_s = retry_after_s
        self.retryable = self.retryable if retryable is None else retryable
        self.metadata = metadata or {}
        self.availability = availability

    def to_dict(self) -> dict[str, Any]:
        """Return the value of the ``error`` field."""
        metadata: dict[str, Any] = {"error_type": self.error_type, "source": self.source, "retryable": self.retryable, **self.metadata}
        if self.remedy:
            metadata["remedy_hint"] = self.remedy
        if self.retry_after_s is not None:
            metadata["retry_after_s"] = self.retry_after_s
        error: dict[str, Any] = {"code": self.status, "message": self.message, "metadata": metadata}
        if self.availability is not None:
            error["availability"] = self.availability
            error["error_type"] = self.error_type
            error["http_status"] = self.status
        return error

    def body(self) -> bytes:
        """Return the JSON body."""
        return _encode({"error": self.to_dict()})


class BadRequest(ApiError):
    """The request itself is wrong; sending it again unchanged cannot help."""

    status = 400
    error_type = "invalid_request"


class Unauthorized(ApiError):
    """No key, or one that we do not know."""

    status = 401
    error_type = "authentication"
    source = "key"


class OutOfCredit(ApiError):
    """The hold was refused: the balance or the key's limit does not cover the request's upper bound."""

    status = 402
    error_type = "payment_required"
    source = "account"


class Forbidden(ApiError):
    """The key is known and may not do this."""

    status = 403
    error_type = "permission_denied"
    source = "key"


class NotFound(ApiError):
    """Nothing here by that name."""

    status = 404
    error_type = "not_found"


class Gone(ApiError):
    """It was here and is not kept any more."""

    status = 410
    error_type = "not_found"


class MethodNotAllowed(ApiError):
    """The path exists, with other methods."""

    status = 405
    error_type = "invalid_request"


class BodyTimeout(ApiError):
    """The body stopped arriving."""

    status = 408
    error_type = "timeout"
    retryable = True


class Repeated(ApiError):
    """The request's Idempotency-Key stands for another request, or for one that cannot be answered again; nothing was charged now."""

    status = 409
    error_type = "precondition_failed"


class BodyTooLarge(ApiError):
    """The body is over the cap."""

    status = 413
    error_type = "payload_too_large"


class NoEndpoint(ApiError):
    """No endpoint of the model may serve this request; ``availability`` says why."""

    status = 404
    error_type = "not_found"


class ProviderFailed(ApiError):
    """Every endpoint that was tried failed; the last reason, labelled."""

    status = 502
    error_type = "provider_unavailable"
    source = "provider"
    retryable = True


class Unavailable(ApiError):
    """We cannot take the request right now; nothing was charged."""

    status = 503
    error_type = "server"
    retryable = True


class AccountFrozen(Unavailable):
    """The account starts nothing new until an operator has looked at its balance."""

    source = "account"


def availability(code: str, *, retryable: bool, models: tuple[str, ...], **extra: Any) -> dict[str, Any]:
    """Return an ``availability`` object. ``code`` is one of the documented words, such as model_not_found or constraint_filtered."""
    return {"code": code, "retryable": retryable, "requested_models": list(models), **extra}
