"""Texts and pictures to be judged, in OpenAI's form. Pure."""

from typing import Annotated, Literal

import msgspec

from gateway.dialects.base import ChatRequest, InvalidRequest, Json
from gateway.dialects.client import Closing, Head
from gateway.dialects.units import UnitClient, cost_fields, encode_json, read_body, text_size

DEFAULT_MODEL = "openai/omni-moderation-latest"
_INPUTS_MAX = 1_000
_NotEmpty = Annotated[str, msgspec.Meta(min_length=1)]
_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
_CHOICES = {"type": "text, image_url"}


class _Url(msgspec.Struct):
    url: _NotEmpty


class _Part(msgspec.Struct):
    type: Literal["text", "image_url"]
    text: str | None = None
    image_url: _Url | None = None


class _Body(msgspec.Struct):
    input: _NotEmpty | Annotated[list[_NotEmpty | _Part], msgspec.Meta(min_length=1, max_length=_INPUTS_MAX)]
    model: _Name | None = None
    models: list[_Name] | None = None
    provider: Json | None = None
    user: str | None = None
    session_id: Annotated[str, msgspec.Meta(max_length=256)] | None = None


class ModerationsClient(UnitClient):
    """POST /api/v1/moderations."""

    api = "moderations"
    api_type = "moderation"

    def decode_request(self, data: bytes) -> ChatRequest:
        """Read a client's body. The request's ``body`` has ``input`` as it was sent: a text, texts, or parts. Raises: InvalidRequest."""
        typed, body = read_body(data, _Body, _CHOICES)
        inputs = [typed.input] if isinstance(typed.input, str) else typed.input
        request = ChatRequest(
            body={"input": body["input"]},
            kind="moderation",
            model=typed.model or (None if typed.models else DEFAULT_MODEL),
            models=tuple(typed.models or ()),
            provider=typed.provider or {},
            user=typed.user or "",
            session_id=typed.session_id or "",
            message_count=len(inputs),
        )
        for place, one in enumerate(inputs):
            if isinstance(one, str):
                request.prompt_bytes += text_size(one)
            elif one.type == "text" and one.text:
                request.prompt_bytes += text_size(one.text)
            elif one.type == "image_url" and one.image_url is not None:
                request.image_parts += 1
                request.media_bytes += len(one.image_url.url)
            else:
                raise InvalidRequest(f"input[{place}].{one.type} is required.", f"input[{place}].{one.type}")
        request.units_likely = {"input_tokens": -(-request.prompt_bytes // 4)}
        return request

    def encode_answer(self, body: Json, request: ChatRequest, head: Head, closing: Closing) -> bytes:
        """Write the verdicts."""
        del request
        tokens = closing.usage.prompt_tokens
        usage: Json = {"prompt_tokens": tokens, "total_tokens": tokens, **cost_fields(closing)}
        return encode_json({"id": head.id, "model": head.model, "provider": head.provider, "results": body["results"], "usage": usage})
