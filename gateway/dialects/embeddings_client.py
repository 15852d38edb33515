"""Embeddings as clients ask for them, in OpenAI's form. Pure."""

from typing import Annotated, Any, Literal

import msgspec

from gateway.dialects.base import ChatRequest, InvalidRequest, Json, raw_usd
from gateway.dialects.chat_checks import explain, measure
from gateway.dialects.chat_completions import parse_json
from gateway.dialects.chat_schema import ChatBody, Part, UserMessage
from gateway.dialects.client import Closing, Head, StreamEncoder
from gateway.dialects.vectors import base64_of, numbers_of

_encode_json = msgspec.json.Encoder().encode
_NotEmpty = Annotated[str, msgspec.Meta(min_length=1)]
_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
_CHOICES = {"encoding_format": "float, base64", "content.type": "text, image_url, input_audio, video_url, file"}


class _Input(msgspec.Struct):
    content: Annotated[list[Part], msgspec.Meta(min_length=1)]


class _Body(msgspec.Struct):
    input: Any = None
    model: _Name | None = None
    models: list[_Name] | None = None
    dimensions: Annotated[int, msgspec.Meta(ge=1)] | None = None
    encoding_format: Literal["float", "base64"] | None = None
    input_type: str | None = None
    user: str | None = None
    provider: Json | None = None
    session_id: Annotated[str, msgspec.Meta(max_length=256)] | None = None


_Token = Annotated[int, msgspec.Meta(ge=0)]
_SHAPES: tuple[Any, ...] = (
    Annotated[list[_NotEmpty], msgspec.Meta(min_length=1)],
    Annotated[list[_Token], msgspec.Meta(min_length=1)],
    Annotated[list[Annotated[list[_Token], msgspec.Meta(min_length=1)]], msgspec.Meta(min_length=1)],
    Annotated[list[_Input], msgspec.Meta(min_length=1)],
)


def decode_embeddings_request(data: bytes) -> ChatRequest:
    """Read a client's body. Raises: InvalidRequest with the field and what it must be.

    The request's ``body`` has ``input`` and the parameters; ``message_count`` is the number of inputs, a token id counts as a byte.
    """
    body = parse_json(data)
    try:
        typed = msgspec.convert(body, _Body)
    except msgspec.ValidationError as error:
        explain(str(error), _CHOICES)
    canonical: Json = {"input": typed.input}
    for name in ("dimensions", "encoding_format", "input_type"):
        if (value := getattr(typed, name)) is not None:
            canonical[name] = value
    request = ChatRequest(
        body=canonical,
        kind="embedding",
        model=typed.model,
        models=tuple(typed.models or ()),
        provider=typed.provider or {},
        user=typed.user or "",
        session_id=typed.session_id or "",
    )
    _measure(request, typed.input)
    return request


def _measure(request: ChatRequest, value: Any) -> None:
    if value is None:
        raise InvalidRequest("input is required.", "input")
    if isinstance(value, str) and value:
        request.prompt_bytes, request.message_count = len(value.encode()), 1
        return
    inputs, place = _inputs(value)
    if place == 0:
        request.prompt_bytes = sum(len(text.encode()) for text in inputs)
    elif place == 1:
        request.prompt_bytes = len(inputs)
    elif place == 2:  # noqa: PLR2004 -- the place in _SHAPES
        request.prompt_bytes = sum(len(tokens) for tokens in inputs)
    else:
        measure(request, ChatBody(messages=[UserMessage(content=one.content) for one in inputs]))
    request.message_count = 1 if place == 1 else len(inputs)


def _inputs(value: Any) -> tuple[Any, int]:
    """Return the inputs typed and which of the shapes they have. Raises: InvalidRequest."""
    for place, shape in enumerate(_SHAPES):
        try:
            return msgspec.convert(value, shape), place
        except msgspec.ValidationError:
            continue
    raise InvalidRequest("input must be a text, texts, token ids, lists of token ids or objects with content, none of them empty.", "input")


class EmbeddingsClient:
    """POST /api/v1/embeddings."""

    api = "embeddings"
    api_type = "embeddings"
    shows_failed_finish = True

    def decode_request(self, data: bytes) -> ChatRequest:
        """Read a client's body. Raises: InvalidRequest."""
        return decode_embeddings_request(data)

    def encode_answer(self, body: Json, request: ChatRequest, head: Head, closing: Closing) -> bytes:
        """Write a list of vectors, as numbers or in base64 as the client asked, whatever the provider sent."""
        wanted = base64_of if request.body.get("encoding_format") == "base64" else numbers_of
        tokens = closing.usage.prompt_tokens
        return _encode_json(
            {
                "id": head.id,
                "object": "list",
                "model": head.model,
                "provider": head.provider,
                "data": [{**one, "embedding": wanted(one["embedding"])} for one in body["data"]],
                "usage": {
                    "prompt_tokens": tokens,
                    "total_tokens": tokens,
                    "cost": raw_usd(closing.cost_nanos),
                    "is_byok": False,
                    "cost_details": {
                        "upstream_inference_cost": raw_usd(closing.cost_nanos),
                        "upstream_inference_prompt_cost": raw_usd(closing.prompt_cost_nanos),
                        "upstream_inference_completions_cost": raw_usd(closing.cost_nanos - closing.prompt_cost_nanos),
                    },
                },
            }
        )

    def new_stream_encoder(self, request: ChatRequest, head: Head) -> StreamEncoder:
        """Embeddings are never streamed: no request of this dialect asks for it."""
        del request, head
        raise InvalidRequest("Embeddings are not streamed.", "stream")

    def encode_error(self, error: Json, generation_id: str) -> bytes:
        """Write an error body."""
        del generation_id
        return _encode_json({"error": error})
