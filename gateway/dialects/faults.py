"""What a provider's error means: one of the stable words, whether another try can help, and a message fit for customers. Pure."""

import re
from typing import Any

import msgspec

from gateway.dialects.base import ERROR_STATUS, HeaderLookup, Json, UpstreamFault

_MESSAGE_MAX_CHARS = 1000
_RETRY_AFTER_MAX_S = 3600.0
_decode_json = msgspec.json.Decoder().decode

# Anything that may be (part of) a credential: providers like to echo the key they did not accept.
_SECRET = re.compile(
    r"(?i)(?:bearer\s+[^\s\"',;]+"
    r"|\b(?:sk|pk|rk|gsk|xai|key|api|nvapi|hf|pplx|fw|tgp|csk)[-_][A-Za-z0-9*._-]{6,}"
    r"|\bAIza[A-Za-z0-9_*-]{10,}"
    r"|\beyJ[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]+)*"
    r"|(?<=[?&]key=)[^&\s\"']+"
    r"|(?:api[-_ ]?key|token|secret|authorization)[^\w\s]{0,3}\s?(?:provided)?\s?[:=]\s*[\"']?[^\s\"',;]+"
    r"|\borg-[A-Za-z0-9]{8,})"
)

# Words of providers (code, type or status, lower case) that say what happened better than the HTTP status. Words such as api_error
# or server_error say less than it and are not here.
_WORDS: dict[str, str] = {
    "context_length_exceeded": "context_length_exceeded",
    "context_window_exceeded": "context_length_exceeded",
    "model_max_prompt_tokens_exceeded": "context_length_exceeded",
    "string_above_max_length": "string_too_long",
    "rate_limit_exceeded": "rate_limit_exceeded",
    "rate_limit_error": "rate_limit_exceeded",
    "rate_limited": "rate_limit_exceeded",
    "tokens": "rate_limit_exceeded",
    "requests": "rate_limit_exceeded",
    "resource_exhausted": "rate_limit_exceeded",
    "insufficient_quota": "payment_required",
    "billing_error": "payment_required",
    "billing_hard_limit_reached": "payment_required",
    "invalid_api_key": "authentication",
    "authentication_error": "authentication",
    "unauthenticated": "authentication",
    "permission_error": "permission_denied",
    "permission_denied": "permission_denied",
    "content_policy_violation": "content_policy_violation",
    "content_filter": "content_policy_violation",
    "moderation_blocked": "content_policy_violation",
    "responsibleaipolicyviolation": "content_policy_violation",
    "data_inspection_failed": "content_policy_violation",
    "invalid_prompt": "invalid_prompt",
    "model_not_found": "not_found",
    "not_found_error": "not_found",
    "not_found": "not_found",
    "deploymentnotfound": "not_found",
    "overloaded_error": "provider_overloaded",
    "engine_overloaded": "provider_overloaded",
    "engine_overloaded_error": "provider_overloaded",
    "unavailable": "provider_overloaded",
    "request_too_large": "payload_too_large",
    "timeout_error": "timeout",
    "deadline_exceeded": "timeout",
    "failed_precondition": "precondition_failed",
    "throttlingexception": "rate_limit_exceeded",
    "servicequotaexceededexception": "rate_limit_exceeded",
    "accessdeniedexception": "permission_denied",
    "unrecognizedclientexception": "authentication",
    "expiredtokenexception": "authentication",
    "invalidsignatureexception": "authentication",
    "resourcenotfoundexception": "not_found",
    "modelnotreadyexception": "provider_overloaded",
    "serviceunavailableexception": "provider_overloaded",
    "modeltimeoutexception": "timeout",
    "modelstreamerrorexception": "provider_unavailable",
    "modelerrorexception": "provider_unavailable",
    "internalserverexception": "provider_unavailable",
    "invalid_image": "invalid_image",
    "image_parse_error": "invalid_image",
    "invalid_image_format": "unsupported_image_format",
    "invalid_image_url": "image_download_failed",
    "image_too_large": "image_too_large",
    "image_too_small": "image_too_small",
    "image_file_too_large": "image_too_large",
    "image_file_not_found": "image_not_found",
    "failed_to_download_image": "image_download_failed",
}

_BY_STATUS: dict[int, str] = {
    400: "invalid_request",
    401: "authentication",
    402: "payment_required",
    403: "permission_denied",
    404: "not_found",
    405: "not_found",
    408: "timeout",
    412: "precondition_failed",
    413: "payload_too_large",
    415: "invalid_request",
    422: "unprocessable",
    424: "provider_unavailable",
    425: "provider_overloaded",
    429: "rate_limit_exceeded",
    498: "content_policy_violation",  # Cohere's own
    499: "timeout",
    500: "provider_unavailable",
    501: "provider_unavailable",
    502: "provider_unavailable",
    503: "provider_overloaded",
    504: "timeout",
    524: "timeout",
    529: "provider_overloaded",
}

# Hints in prose, where a provider says "bad request" and no more.
_PROSE: tuple[tuple[re.Pattern[str], str], ...] = (
    (
        re.compile(
            r"(?i)context (length|window|size)|maximum context|(prompt|input) is too long|too many (input )?tokens"
            r"|input token count.{0,40}exceeds"
        ),
        "context_length_exceeded",
    ),
    (
        re.compile(r"(?i)max(imum)?_?(completion_|output_)?tokens.{0,80}(too large|exceed|at most|greater than|less than)"),
        "max_tokens_exceeded",
    ),
    (re.compile(r"(?i)content (management )?policy|safety system|flagged|moderation|inappropriate content"), "content_policy_violation"),
    (
        re.compile(r"(?i)(unsupported|invalid) image (format|type)|image (format|media type).{0,40}(not supported|unsupported)"),
        "unsupported_image_format",
    ),
    (re.compile(r"(?i)(download|fetch)\w* .{0,40}image|image.{0,60}(download|fetch)"), "image_download_failed"),
    (re.compile(r"(?i)image.{0,60}(too large|exceeds)"), "image_too_large"),
    (re.compile(r"(?i)(could not process|invalid|unable to process).{0,20}image"), "invalid_image"),
)

# What may be a matter of our account or of this provider's day, and so may succeed elsewhere.
_RETRYABLE = frozenset(
    {
        "authentication", "payment_required", "permission_denied", "not_found", "rate_limit_exceeded", "provider_overloaded",
        "provider_unavailable", "server", "timeout", "unmapped", "precondition_failed",
    }
)  # fmt: skip

# Failures of our account with the provider, which are none of the customer's: shown as an unavailable provider.
_OURS: dict[str, str] = {
    "authentication": "The provider did not accept the gateway's credentials.",
    "payment_required": "The gateway's account with the provider has no quota left.",
    "permission_denied": "The provider refused access to this model.",
    "not_found": "The provider does not know this model any more.",
}
_PROSE_STATUSES = (400, 413, 422)


def redact(text: str) -> str:
    """Return ``text`` without anything that looks like a credential, on one line, at most 1000 characters."""
    short = " ".join(text[: 4 * _MESSAGE_MAX_CHARS].split())
    return _SECRET.sub("[redacted]", short)[:_MESSAGE_MAX_CHARS]


def fault_from_status(status: int, header: HeaderLookup, body: bytes, *, code: str = "") -> UpstreamFault:
    """Read an error answer in any of the known shapes: OpenAI, Anthropic, Gemini, FastAPI, plain text, HTML, empty. Never fails.

    ``code`` is the provider's word where it is not in the body.
    """
    error = _error_object(body)
    if code:
        error = {**error, "code": code}
    return make_fault(error, status=status, retry_after_s=_retry_after_s(header, error))


def make_fault(error: Json, *, status: int, retry_after_s: float | None = None) -> UpstreamFault:
    """Classify ``error`` (message, code, type, status as the provider named them) that came with HTTP ``status``; 200: in a stream."""
    message = redact(_text(error.get("message")))
    words = [_text(error.get(name)) for name in ("code", "type", "status")]
    error_type = next((found for word in words if (found := _WORDS.get(word.lower()))), None)
    if error_type is None:
        number = next((int(word) for word in words if word.isdigit()), status)
        error_type = _BY_STATUS.get(number) or _BY_STATUS.get(status) or ("provider_unavailable" if status in (0, 200) else "unmapped")
    if error_type == "rate_limit_exceeded" and "quota" in words[0]:
        error_type = "payment_required"
    if error_type in ("invalid_request", "unprocessable", "payload_too_large") and (status in _PROSE_STATUSES or status == 200):  # noqa: PLR2004
        error_type = next((found for pattern, found in _PROSE if pattern.search(message)), error_type)
    code = redact(next((word for word in words if word), ""))
    retryable = error_type in _RETRYABLE
    if error_type in _OURS:
        message = _OURS[error_type]
        error_type = "provider_unavailable"
    return UpstreamFault(
        status=ERROR_STATUS[error_type],
        message=message or f"The provider answered with status {status}.",
        error_type=error_type,
        code=code[:100],
        retryable=retryable,
        retry_after_s=retry_after_s,
        upstream_status=status,
    )


def malformed(what: str) -> UpstreamFault:
    """Return the fault of a provider that answered 200 with something that cannot be read; ``what`` completes 'The provider sent …'."""
    return UpstreamFault(
        status=502,
        message=f"The provider sent {what}.",
        error_type="provider_unavailable",
        code="malformed_answer",
        retryable=True,
        upstream_status=200,
    )


def _error_object(body: bytes) -> Json:
    try:
        parsed: Any = _decode_json(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        text = body[:_MESSAGE_MAX_CHARS].decode("utf-8", "replace").strip()
        return {} if text.startswith("<") else {"message": text}  # an HTML page says nothing to anybody
    if isinstance(parsed, list) and parsed:  # Gemini streams wrap an error in an array
        parsed = parsed[0]
    if not isinstance(parsed, dict):
        return {}
    error = parsed.get("error", parsed)
    if isinstance(error, str):
        return {**parsed, "message": error}
    if not isinstance(error, dict):
        return {}
    if "message" not in error:
        detail = error.get("detail", error.get("msg", error.get("errors", parsed.get("message"))))
        error = {**error, "message": detail if isinstance(detail, str) else msgspec.json.encode(detail).decode() if detail else ""}
    return error


def _text(value: Any) -> str:
    return value if isinstance(value, str) else str(value) if isinstance(value, int) and not isinstance(value, bool) else ""


def _retry_after_s(header: HeaderLookup, error: Json) -> float | None:
    """Return how long the provider asks us to wait: Retry-After(-Ms) in numbers, or Gemini's RetryInfo. HTTP dates are ignored."""
    for name, unit_s in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        seconds = _seconds(header(name))
        if seconds is not None:
            return min(seconds * unit_s, _RETRY_AFTER_MAX_S)
    details = error.get("details")
    for detail in details if isinstance(details, list) else ():
        if isinstance(detail, dict) and isinstance(detail.get("retryDelay"), str):
            return _seconds(detail["retryDelay"].removesuffix("s"))
    return None


def _seconds(text: str | None) -> float | None:
    if not text or not re.fullmatch(r"\d{1,9}(\.\d{1,9})?", text.strip()):
        return None
    return min(float(text), _RETRY_AFTER_MAX_S * 1000)
