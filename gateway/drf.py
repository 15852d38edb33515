"""How the management API speaks: keys as credentials, exact money in JSON, and one shape for every error.

Errors look as the data plane's do (``gateway/relay/errors.py`` holds the tree), so a client needs one decoder.
"""

import datetime as dt
import logging
from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any, ClassVar, Final

import msgspec
from django.core.exceptions import PermissionDenied as DjangoPermissionDenied
from django.db import InterfaceError, OperationalError
from django.http import Http404
from django.utils import timezone
from redis.exceptions import RedisError
from rest_framework import exceptions
from rest_framework.authentication import BaseAuthentication
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.parsers import BaseParser
from rest_framework.permissions import BasePermission
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import key_format, queries
from accounts.api_keys import BadKeyField, UnknownKey
from accounts.models import ApiKey, Organization
from accounts.permissions import NotPermitted
from accounts.presets import BadPresetField, UnknownPreset
from billing.authorizer.connection import MoneyStoreDown
from billing.money import usd_text
from gateway.relay.errors import ApiError, BadRequest, BodyTooLarge, Forbidden, MethodNotAllowed, NotFound, Unauthorized, Unavailable

if TYPE_CHECKING:
    # Its import reads the settings that name this module.
    from rest_framework.views import APIView

logger = logging.getLogger(__name__)

BODY_MAX_BYTES: Final = 262_144
_RETRY_AFTER_S: Final = 1
_ADMIN_PATH_HINT: Final = "Management keys are made on the dashboard, under Keys."


class Usd:
    """An amount in nanos (1e-9 USD) that becomes a JSON number of dollars, digit for digit."""

    __slots__ = ("nanos",)

    def __init__(self, nanos: int) -> None:
        self.nanos = nanos


def _encode_extra(value: object) -> object:
    if isinstance(value, Usd):
        return msgspec.Raw(usd_text(value.nanos).encode("ascii"))
    msg = f"{type(value).__name__} has no JSON form here"
    raise TypeError(msg)


_encode = msgspec.json.Encoder(enc_hook=_encode_extra).encode
# Numbers with a fraction stay decimal: 0.1 is not 0.1000000000000000055 on its way to nanos.
_decode = msgspec.json.Decoder(float_hook=Decimal).decode


class KeyPrincipal:
    """The ``request.user`` of a request that came with a key."""

    is_authenticated: ClassVar[bool] = True

    def __init__(self, api_key: ApiKey) -> None:
        self.api_key = api_key


def bearer_of(request: Request) -> ApiKey:
    """Return the key that the request came with, its organization loaded."""
    api_key: ApiKey = request.auth  # type: ignore[assignment]  # set by ApiKeyAuthentication
    return api_key


def organization_of(request: Request) -> Organization:
    """Return the organization whose key the request came with: the only one it may touch."""
    return bearer_of(request).organization


class ApiKeyAuthentication(BaseAuthentication):
    """``Authorization: Bearer <key>`` or ``x-api-key: <key>``, of either kind of key."""

    def authenticate(self, request: Request) -> tuple[Any, ApiKey]:
        """Return the principal and the key. Raises: Unauthorized."""
        secret = _presented_secret(request)
        api_key = queries.bearer(key_format.hash_secret(secret)) if key_format.is_well_formed(secret) else None
        if api_key is None:
            raise Unauthorized("User not found.", remedy="Check the key; it may have been deleted.")
        if api_key.disabled:
            raise Unauthorized("This API key is disabled.", remedy="Enable it, or use another key.")
        if api_key.expires_at is not None and api_key.expires_at <= timezone.now():
            raise Unauthorized("This API key has expired.", remedy="Create a new key.")
        return KeyPrincipal(api_key), api_key

    def authenticate_header(self, request: Request) -> str:  # noqa: ARG002 -- the framework's signature
        """Name the scheme for WWW-Authenticate."""
        return "Bearer"


def _presented_secret(request: Request) -> str:
    scheme, _, secret = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer" and secret.strip():
        return secret.strip()
    secret = request.headers.get("X-Api-Key", "").strip()
    if secret:
        return secret
    raise Unauthorized("Missing Authentication header", remedy="Send 'Authorization: Bearer <key>'; keys are made on the dashboard.")


class ManagementKeyOnly(BasePermission):
    """Lets management keys pass."""

    def has_permission(self, request: Request, view: "APIView") -> bool:  # noqa: ARG002 -- the framework's signature
        """Return True. Raises: Forbidden for keys that call models."""
        if not bearer_of(request).is_management:
            raise Forbidden("Only management keys can perform this operation", remedy=_ADMIN_PATH_HINT)
        return True


class JsonParser(BaseParser):
    """Reads JSON whatever the Content-Type says: clients forget it, and nothing else is understood here anyway."""

    media_type = "*/*"

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Mapping[str, Any] | None = None) -> Any:  # noqa: ARG002
        """Return the decoded body; numbers with a fraction as Decimal. Raises: BadRequest, BodyTooLarge."""
        body = stream.read(BODY_MAX_BYTES + 1)
        if len(body) > BODY_MAX_BYTES:
            raise BodyTooLarge("Request payload too large", remedy=f"Send at most {BODY_MAX_BYTES} bytes.")
        try:
            return _decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, ArithmeticError, RecursionError) as error:
            raise BadRequest(f"The request body is not valid JSON: {error}") from error


class ExactJsonRenderer(BaseRenderer):
    """Writes JSON; ``Usd`` amounts digit for digit, times as RFC 3339 in UTC."""

    media_type = "application/json"
    format = "json"
    charset = None
    render_style = "binary"

    def render(self, data: Any, accepted_media_type: str | None = None, renderer_context: Mapping[str, Any] | None = None) -> bytes:  # noqa: ARG002
        """Return the body."""
        return b"" if data is None else _encode(data)


class JsonNegotiation(BaseContentNegotiation):
    """Answers JSON whatever Accept says: an error that only says 406 helps nobody."""

    def select_parser(self, request: Request, parsers: Any) -> Any:  # noqa: ARG002
        """Return the one parser."""
        return parsers[0]

    def select_renderer(self, request: Request, renderers: Any, format_suffix: str | None = None) -> Any:  # noqa: ARG002
        """Return the one renderer."""
        return renderers[0], renderers[0].media_type


def handle_exception(error: Exception, context: Mapping[str, Any]) -> Response:
    """Turn whatever a view raised into the one error shape. What is not foreseen is logged in full and told as a plain 500."""
    answer = _api_error(error)
    if answer is None:
        request = context.get("request")
        logger.error("unexpected failure at %s", request.path if request is not None else "?", exc_info=error)
        answer = ApiError("Internal Server Error", remedy="Try again; quote X-Request-Id if it persists.")
    response = Response({"error": answer.to_dict()}, status=answer.status)
    if answer.retry_after_s is not None:
        response["Retry-After"] = str(int(answer.retry_after_s))
    if answer.status == Unauthorized.status:
        response["WWW-Authenticate"] = "Bearer"
    if isinstance(error, exceptions.MethodNotAllowed):
        response["Allow"] = ", ".join(context["view"].allowed_methods)
    return response


# The field of the model → its name in requests, where they differ.
_REQUEST_NAMES: Final = {"limit_nanos": "limit", "designated_number": "designated_version"}


def _api_error(error: Exception) -> ApiError | None:
    answer: ApiError | None = None
    match error:
        case ApiError():
            answer = error
        case BadKeyField() | BadPresetField():
            answer = BadRequest(str(error), metadata={"param": _REQUEST_NAMES.get(error.field, error.field)})
        case UnknownKey() | UnknownPreset():
            answer = NotFound("API key not found" if isinstance(error, UnknownKey) else "Preset or policy not found")
        case Http404() | exceptions.NotFound():
            answer = NotFound("Resource not found")
        case NotPermitted() | DjangoPermissionDenied() | exceptions.PermissionDenied():
            answer = Forbidden("This key may not do that.")
        case exceptions.MethodNotAllowed():
            answer = MethodNotAllowed(str(error.detail))
        case OperationalError() | InterfaceError() | RedisError() | MoneyStoreDown():
            logger.error("a store is away", exc_info=error)
            answer = Unavailable("Service temporarily unavailable", retry_after_s=_RETRY_AFTER_S)
        case exceptions.APIException():
            answer = ApiError(str(error.detail), status=error.status_code, error_type="invalid_request")
    return answer


def utc_text(moment: dt.datetime | None) -> str | None:
    """Write a moment as RFC 3339 in UTC with milliseconds, such as 2027-12-31T23:59:59.000Z; None stays None."""
    if moment is None:
        return None
    return moment.astimezone(dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
