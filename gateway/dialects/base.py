"""What every dialect speaks to the relay: one canonical request, answer, stream and fault. Pure; no Django, no input or output.

The canonical form is Chat Completions as OpenRouter extends it. A dialect is a module of pure functions behind ``UpstreamDialect``.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Protocol

import msgspec

from billing.money import usd_text
from catalog.types import EndpointSpec, ModelType, ProviderSpec, Usage
from gateway.relay.sse import SseEvent

Json = dict[str, Any]
HeaderLookup = Callable[[str], str | None]  # response header by lower-case name; a dict's ``get`` will do

# The stable words for what went wrong, and the HTTP status each is answered with.
ERROR_STATUS: dict[str, int] = {
    "context_length_exceeded": 400,
    "max_tokens_exceeded": 400,
    "token_limit_exceeded": 400,
    "string_too_long": 400,
    "authentication": 401,
    "permission_denied": 403,
    "payment_required": 402,
    "rate_limit_exceeded": 429,
    "provider_overloaded": 503,
    "provider_unavailable": 502,
    "invalid_request": 400,
    "invalid_prompt": 400,
    "not_found": 404,
    "precondition_failed": 412,
    "payload_too_large": 413,
    "unprocessable": 422,
    "content_policy_violation": 400,
    "refusal": 400,
    "invalid_image": 400,
    "image_too_large": 400,
    "image_too_small": 400,
    "unsupported_image_format": 400,
    "image_not_found": 404,
    "image_download_failed": 400,
    "server": 500,
    "timeout": 504,
    "unmapped": 500,
}


class InvalidRequest(Exception):
    """The client's body is wrong. ``param`` is the path of the field, such as ``messages[0].content``; '' is the body itself."""

    def __init__(self, message: str, param: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.param = param


class Upload(msgspec.Struct, frozen=True, kw_only=True):
    """A file that came with a request. ``format`` is its kind in a word (wav, mp3, …), for providers that want to be told."""

    data: bytes
    name: str
    format: str
    content_type: str


class ChatRequest(msgspec.Struct, kw_only=True):
    """A chat request as the router sees it. ``body`` is the parsed JSON as it was sent, unknown fields included; treat it as read-only.

    ``prompt_bytes`` counts the UTF-8 bytes of all text that the model will read (messages, tools, schemas), ``media_bytes`` the
    characters of inline base64; parts that are not text are counted by kind. All of them bound the price from above.
    """

    body: Json
    kind: ModelType = "chat"  # the type of model that answers
    model: str | None = None
    models: tuple[str, ...] = ()
    stream: bool = False
    include_usage: bool | None = None  # stream_options.include_usage, as the client said
    max_tokens: int | None = None  # max_completion_tokens, else max_tokens
    n: int = 1
    provider: Json = {}  # routing preferences, unchecked
    service_tier: str = ""
    user: str = ""
    session_id: str = ""
    metadata: dict[str, str] = {}
    message_count: int = 0
    prompt_bytes: int = 0
    media_bytes: int = 0
    stand_in_bytes: int = 0  # of the functions that stand in for custom tools: more than the client sent, so they come on top of the body
    body_bytes: int = 0  # of the whole body as it was sent: whatever else in it a model may read, it is no longer than this
    is_text: bool = False  # known to be of nothing but text
    image_parts: int = 0
    audio_parts: int = 0
    video_parts: int = 0
    file_parts: int = 0
    # Some message has a field or role that not every provider takes; saves a walk over the messages where none has.
    has_extras: bool = False
    custom_tools: tuple[str, ...] = ()  # names of its tools whose calls are free text
    # Some tool, earlier call or choice of tools is of a kind that only OpenAI's own models know (dialects/custom_tools.py).
    has_custom: bool = False
    # The body in the client's own wire format, where that is not Chat Completions, and the format's name: a provider that speaks the same
    # gets it with the needed edits. ``opaque`` names the first part that only such a provider can be sent.
    native: Json = {}
    native_dialect: str = ""
    opaque: str = ""
    searches_web: bool = False  # asks the provider for one search of the web (relay/web_search.py)
    wants_metadata: bool = False  # asked by header to hear which road it took
    beta: str = ""  # features of a format that the client opted into by header (anthropic-beta)
    # Of a request that is no chat: meter → the most of it that can be billed, and what is taken for it when the provider does not say;
    # the most tokens that the answer can have.
    units_max: dict[str, int] = {}
    units_likely: dict[str, int] = {}
    answer_tokens_max: int = 0
    upload: Upload | None = None


class UpstreamCall(msgspec.Struct, frozen=True, kw_only=True):
    """What to POST: ``path`` is appended to the provider's base URL. Credentials are added by ``gateway.providers.auth``.

    ``dropped`` names the client's parameters that this endpoint does not know and that were left out.
    """

    path: str
    body: bytes
    headers: dict[str, str] = {}
    query: dict[str, str] = {}
    dropped: tuple[str, ...] = ()


class UpstreamFault(msgspec.Struct, frozen=True, kw_only=True):
    """Why a provider failed. ``status`` is what the client should see, ``upstream_status`` what the provider said (0: none).

    ``message`` is fit for customers: no credentials, no long bodies. ``code`` is the provider's own word. ``retryable`` says that
    the same request may succeed at another endpoint or later.
    """

    status: int
    message: str
    error_type: str
    code: str = ""
    retryable: bool = False
    retry_after_s: float | None = None
    upstream_status: int = 0


class BadAnswer(Exception):
    """A 200 whose body is no answer: malformed JSON, or an error in disguise."""

    def __init__(self, fault: UpstreamFault) -> None:
        super().__init__(fault.message)
        self.fault = fault


class Answer(msgspec.Struct, kw_only=True):
    """A whole answer. ``body`` is a chat.completion without id, model, provider and usage, which the relay adds.

    ``usage`` is None when the provider reported none; zero counts are a report. ``finish_reason`` is the last choice's that did not
    end in an error, else that error, normalised (tool_calls, stop, length, content_filter, error) or None. ``output_chars`` is for
    estimates.
    """

    body: Json
    usage: Usage | None
    finish_reason: str | None
    native_finish_reason: str | None
    upstream_id: str = ""
    served_model: str = ""
    service_tier: str = ""
    stop_sequence: str | None = None  # the one that ended the answer, where the provider names it
    output_seen: bool = False
    output_chars: int = 0


class StreamDecoder(ABC):
    """Turns a provider's events into canonical chunks, one instance per stream. Subclasses implement ``decode``.

    Chunks are chat.completion.chunk objects without id, model, provider and usage. Chunks that carry usage alone are swallowed;
    ``usage`` grows to the last report (counts never shrink) and stays None when there was none. ``fault`` is an error that the
    provider put into the stream; decode nothing after it. ``done`` is the dialect's own end mark.
    """

    __slots__ = (
        "created_s",
        "done",
        "fault",
        "finish_reason",
        "native_finish_reason",
        "output_chars",
        "output_seen",
        "served_model",
        "service_tier",
        "stop_sequence",
        "upstream_id",
        "usage",
    )

    def __init__(self) -> None:
        self.usage: Usage | None = None
        self.finish_reason: str | None = None
        self.native_finish_reason: str | None = None
        self.upstream_id = ""
        self.served_model = ""
        self.service_tier = ""
        self.stop_sequence: str | None = None
        self.fault: UpstreamFault | None = None
        self.output_seen = False
        self.output_chars = 0
        self.done = False
        self.created_s = 0

    @property
    def complete(self) -> bool:
        """Whether the answer ended properly: some providers never send their end mark, a finish reason will do."""
        return self.fault is None and (self.done or self.finish_reason is not None)

    @abstractmethod
    def decode(self, event: SseEvent) -> list[Json]:
        """Return the chunks that ``event`` makes, often one, sometimes none."""

    def _note_end(self, reason: str | None, native: str | None) -> None:
        """Take why a choice ended. Of several choices one that failed does not make the answer a failure."""
        if reason != "error" or self.finish_reason is None:
            self.finish_reason, self.native_finish_reason = reason, native

    def _report(self, usage: Usage | None) -> None:
        """Take a usage report: counts are cumulative, so a smaller one is a partial repeat and is ignored."""
        if usage is None:
            return
        held = self.usage
        if held is None or usage.prompt_tokens + usage.completion_tokens >= held.prompt_tokens + held.completion_tokens:
            self.usage = usage


class UpstreamDialect(Protocol):
    """One provider wire format."""

    def encode_request(
        self, request: ChatRequest, endpoint: EndpointSpec, provider: ProviderSpec, *, stream: bool, max_tokens: int | None
    ) -> UpstreamCall:
        """Write ``request`` for ``endpoint``. ``max_tokens`` is the relay's bound, or None to keep the client's.

        Raises: InvalidRequest for what this dialect cannot express at all.
        """
        ...

    def decode_answer(self, body: bytes) -> Answer:
        """Read a 200 that was not streamed. Raises: BadAnswer."""
        ...

    def new_stream_decoder(self) -> StreamDecoder:
        """Return a decoder for one stream."""
        ...

    def decode_error(self, status: int, header: HeaderLookup, body: bytes) -> UpstreamFault:
        """Read an answer whose status is not 2xx. Never fails."""
        ...


def raw_usd(nanos: int) -> msgspec.Raw:
    """Return dollars as an exact JSON number in plain decimal form: 214_000 nanos is ``0.000214``. msgspec's encoder keeps it as it is."""
    return msgspec.Raw(usd_text(nanos).encode())
