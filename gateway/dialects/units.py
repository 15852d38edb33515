"""What the formats of models share that answer in one piece and are no chat: rankings, pictures, transcripts, verdicts. Pure."""

from abc import ABC, abstractmethod
from typing import Any, NoReturn, TypeVar

import msgspec

from catalog.types import EndpointSpec, ProviderSpec, Usage
from gateway.dialects.base import (
    Answer,
    BadAnswer,
    ChatRequest,
    HeaderLookup,
    InvalidRequest,
    Json,
    StreamDecoder,
    UpstreamCall,
    UpstreamFault,
    raw_usd,
)
from gateway.dialects.chat_checks import explain
from gateway.dialects.chat_completions import parse_json
from gateway.dialects.client import ClientDialect, Closing, Head, StreamEncoder
from gateway.dialects.faults import fault_from_status, make_fault, malformed

encode_json = msgspec.json.Encoder().encode
JSON_HEADERS = {"content-type": "application/json"}
_decode_json = msgspec.json.Decoder().decode
_T = TypeVar("_T")


class UnitDialect(ABC):
    """A provider's format for such models."""

    @abstractmethod
    def encode_request(
        self, request: ChatRequest, endpoint: EndpointSpec, provider: ProviderSpec, *, stream: bool, max_tokens: int | None
    ) -> UpstreamCall:
        """Write ``request`` for ``endpoint``."""

    @abstractmethod
    def decode_answer(self, body: bytes) -> Answer:
        """Read a 200."""

    def new_stream_decoder(self) -> StreamDecoder:
        """Nothing of this kind is streamed by events of a chat."""
        raise InvalidRequest("This model's answers are not streamed.", "stream")

    def decode_error(self, status: int, header: HeaderLookup, body: bytes) -> UpstreamFault:
        """Read an error answer."""
        return fault_from_status(status, header, body)


class UnitClient(ABC):
    """A client's format for such models: errors as in chats, no events of chats."""

    api_type = ""
    shows_failed_finish = True

    @abstractmethod
    def decode_request(self, data: bytes) -> ChatRequest:
        """Read a client's body. Raises: InvalidRequest."""

    @abstractmethod
    def encode_answer(self, body: Json, request: ChatRequest, head: Head, closing: Closing) -> bytes:
        """Write a whole answer."""

    def new_stream_encoder(self, request: ChatRequest, head: Head) -> StreamEncoder:
        """Nothing of this kind is streamed by events of a chat."""
        del request, head
        raise InvalidRequest("This model's answers are not streamed.", "stream")

    def encode_error(self, error: Json, generation_id: str) -> bytes:
        """Write an error body."""
        del generation_id
        return encode_json({"error": error})


class FormClient(UnitClient):
    """A client's format that can be sent as a form with files as well."""

    @abstractmethod
    def of_form(self, content_type: str) -> ClientDialect:
        """Return the same format for a body of this content type (multipart/form-data)."""


def read_body(data: bytes, shape: type[_T], choices: dict[str, str]) -> tuple[_T, Json]:
    """Return a client's body typed and as it is. ``choices`` says what a field of few words may be. Raises: InvalidRequest."""
    body = parse_json(data)
    try:
        return msgspec.convert(body, shape), body
    except msgspec.ValidationError as error:
        explain_body(error, choices)


def explain_body(error: msgspec.ValidationError, choices: dict[str, str]) -> NoReturn:
    """Say which field is wrong and what it must be. Raises: InvalidRequest."""
    explain(str(error), choices)


def read_answer(body: bytes, what: str) -> Json:
    """Return a provider's JSON object. Raises: BadAnswer when it is none, or is an error in disguise."""
    try:
        parsed = _decode_json(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadAnswer(malformed(f"an answer that is no {what}")) from error
    if not isinstance(parsed, dict):
        raise BadAnswer(malformed(f"an answer that is no {what}"))
    if fault := parsed.get("error"):
        raise BadAnswer(make_fault(fault if isinstance(fault, dict) else {"message": str(fault)}, status=200))
    return parsed


def whole_answer(body: Json, usage: Usage | None, *, upstream_id: Any = "") -> Answer:
    """Return an answer that is complete as it is: it has no reason to end."""
    return Answer(
        body=body,
        usage=usage,
        finish_reason=None,
        native_finish_reason=None,
        upstream_id=upstream_id if isinstance(upstream_id, str) else "",
        output_seen=True,
    )


def cost_fields(closing: Closing) -> Json:
    """Return what every usage object says of the charge: exact JSON numbers of dollars."""
    return {
        "cost": raw_usd(closing.cost_nanos),
        "is_byok": False,
        "cost_details": {
            "upstream_inference_cost": raw_usd(closing.cost_nanos),
            "upstream_inference_prompt_cost": raw_usd(closing.prompt_cost_nanos),
            "upstream_inference_completions_cost": raw_usd(closing.cost_nanos - closing.prompt_cost_nanos),
        },
    }


def text_size(text: str) -> int:
    """Return the bytes of ``text`` in UTF-8."""
    return len(text) if text.isascii() else len(text.encode())
