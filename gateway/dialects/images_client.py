"""Pictures as clients ask for them: OpenRouter's /images and OpenAI's /images/generations, one form that has both's fields. Pure."""

import re
from typing import Annotated, Literal

import msgspec

from gateway.dialects.base import ChatRequest, InvalidRequest, Json
from gateway.dialects.client import Closing, Head
from gateway.dialects.units import UnitClient, cost_fields, encode_json, read_body, text_size

# Longest edge in pixels of each tier. What a client leaves open is about the first megapixel.
TIERS = {"512": 512, "1K": 1024, "2K": 2048, "4K": 4096}
RATIOS = (
    *("1:1", "1:2", "1:4", "1:8", "2:1", "2:3", "3:2", "3:4", "4:1", "4:3", "4:5", "5:4", "8:1", "9:16", "16:9", "9:19.5", "19.5:9"),
    *("9:20", "20:9", "9:21", "21:9", "auto"),
)
_PIXELS_BY_DEFAULT = 1536 * 1536
_PIXELS_MAX = 4096 * 4096
_EDGE_MAX = 8192
_REFERENCES_MAX = 16
_PIXELS = re.compile(r"^([1-9]\d{1,4})x([1-9]\d{1,4})$")

_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
_Prompt = Annotated[str, msgspec.Meta(min_length=1, max_length=100_000)]
_CHOICES = {
    "size": "auto, 512, 1K, 2K, 4K or pixels such as 1024x1024",
    "resolution": ", ".join(TIERS),
    "aspect_ratio": ", ".join(RATIOS),
    "quality": "auto, low, medium, high, standard, hd",
    "background": "auto, transparent, opaque",
    "output_format": "png, jpeg, webp, svg",
    "response_format": "b64_json, url",
    "moderation": "auto, low",
    "type": "image_url",
}


class _Url(msgspec.Struct):
    url: str


class _Reference(msgspec.Struct):
    image_url: _Url
    type: Literal["image_url"] = "image_url"


class _Body(msgspec.Struct):
    prompt: _Prompt
    model: _Name | None = None
    models: list[_Name] | None = None
    n: Annotated[int, msgspec.Meta(ge=1, le=10)] | None = None
    size: str | None = None
    resolution: Literal["512", "1K", "2K", "4K"] | None = None
    aspect_ratio: str | None = None
    quality: Literal["auto", "low", "medium", "high", "standard", "hd"] | None = None
    background: Literal["auto", "transparent", "opaque"] | None = None
    output_format: Literal["png", "jpeg", "webp", "svg"] | None = None
    output_compression: Annotated[int, msgspec.Meta(ge=0, le=100)] | None = None
    response_format: Literal["b64_json", "url"] | None = None
    moderation: Literal["auto", "low"] | None = None
    seed: int | None = None
    stream: bool | None = None
    partial_images: Annotated[int, msgspec.Meta(ge=0, le=3)] | None = None
    input_references: Annotated[list[_Reference], msgspec.Meta(max_length=_REFERENCES_MAX)] | None = None
    provider: Json | None = None
    user: str | None = None
    session_id: Annotated[str, msgspec.Meta(max_length=256)] | None = None


_PASSED = ("quality", "background", "output_format", "output_compression", "moderation", "seed")
_QUALITIES = {"standard": "medium", "hd": "high"}  # older words


def _size(typed: _Body) -> Json:
    """Return ``size`` (pixels) or ``resolution`` and ``aspect_ratio``, as the client asked. Raises: InvalidRequest."""
    asked: Json = {}
    if typed.aspect_ratio not in (None, "auto"):
        if typed.aspect_ratio not in RATIOS:
            raise InvalidRequest(f"aspect_ratio must be one of {', '.join(RATIOS)}.", "aspect_ratio")
        asked["aspect_ratio"] = typed.aspect_ratio
    if typed.resolution:
        asked["resolution"] = typed.resolution
    size = typed.size
    if size in (None, "auto"):
        return asked
    if size.upper() in TIERS:
        if asked.setdefault("resolution", size.upper()) != size.upper():
            raise InvalidRequest("size and resolution say different things; send one of them.", "resolution")
        return asked
    found = _PIXELS.match(size)
    if found is None or max(int(found[1]), int(found[2])) > _EDGE_MAX or int(found[1]) * int(found[2]) > _PIXELS_MAX:
        raise InvalidRequest(f"size must be {_CHOICES['size']}, at most {_PIXELS_MAX:,} pixels.", "size")
    for name in asked:
        raise InvalidRequest(f"size has pixels, which leave no choice of {name}; send one of them.", name)
    return {"size": size}


def tokens_of(body: Json) -> int:
    """Return the most tokens that one picture of this size is counted as.

    OpenAI's count at high quality is the dearest known: 96² steps for a square, more with its area. Gemini has at most 2,520.
    """
    if size := body.get("size"):
        width, height = (int(edge) for edge in size.split("x"))
        pixels = width * height
    else:
        pixels = TIERS[tier] ** 2 if (tier := body.get("resolution")) else 0
    pixels = max(pixels, _PIXELS_BY_DEFAULT)
    return -(-96 * 96 * (2_000_000 + pixels) // 4_000_000)


class ImagesClient(UnitClient):
    """POST /api/v1/images and /api/v1/images/generations."""

    api = "images"
    api_type = "image"

    def decode_request(self, data: bytes) -> ChatRequest:
        """Read a client's body. The request's ``body`` has prompt, n, references (addresses or data URLs), and what was asked of the
        picture. Raises: InvalidRequest.
        """
        typed, _ = read_body(data, _Body, _CHOICES)
        count = typed.n or 1
        references = [one.image_url.url for one in typed.input_references or ()]
        for place, url in enumerate(references):
            if not url.startswith(("data:image/", "https://", "http://")):
                param = f"input_references[{place}].image_url.url"
                raise InvalidRequest(f"{param} must be a data URL of a picture or an address.", param)
        if typed.background == "transparent" and typed.output_format not in (None, "png", "webp"):
            raise InvalidRequest("background: transparent needs output_format png or webp.", "output_format")
        canonical: Json = {"prompt": typed.prompt, "n": count, **_size(typed)}
        canonical |= {name: value for name in _PASSED if (value := getattr(typed, name)) is not None}
        if quality := canonical.get("quality"):
            canonical["quality"] = _QUALITIES.get(quality, quality)
        if references:
            canonical["references"] = references
        if typed.partial_images and not typed.stream:
            raise InvalidRequest("partial_images needs stream to be true.", "partial_images")
        if typed.partial_images:
            canonical["partial_images"] = typed.partial_images
        if typed.response_format == "url":
            canonical["wants_url"] = True
        tokens = tokens_of(canonical)
        prompt_bytes = text_size(typed.prompt)
        return ChatRequest(
            body=canonical,
            kind="image",
            model=typed.model,
            models=tuple(typed.models or ()),
            stream=bool(typed.stream),
            provider=typed.provider or {},
            user=typed.user or "",
            session_id=typed.session_id or "",
            message_count=1,
            # Each picture of several is asked for by itself.
            prompt_bytes=prompt_bytes * count,
            image_parts=len(references) * count,
            media_bytes=sum(len(url) for url in references),
            answer_tokens_max=tokens * count,
            units_max={"images": count},
            units_likely={"images": count, "input_tokens": -(-prompt_bytes // 4) * count, "image_output_tokens": tokens * count},
        )

    def encode_answer(self, body: Json, request: ChatRequest, head: Head, closing: Closing) -> bytes:
        """Write the pictures; as events where a stream was asked for: one for each picture, complete."""
        rows = [_row(one, request) for one in body["images"]]
        usage = _usage(closing)
        if not request.stream:
            return encode_json({"created": head.created_s, "data": rows, "usage": usage})
        events = []
        for place, row in enumerate(rows):
            event = {
                "type": "image_generation.completed",
                **row,
                "created": head.created_s,
                "created_at": head.created_s,
                **_looks(request, row),
            }
            if place == len(rows) - 1:
                event["usage"] = usage
            events.append(b"event: image_generation.completed\ndata: %b\n\n" % encode_json(event))
        return b"".join(events) + b"data: [DONE]\n\n"


def _row(one: Json, request: ChatRequest) -> Json:
    row: Json = {"b64_json": one["b64_json"]}
    if media_type := one.get("media_type"):
        row["media_type"] = media_type
    if words := one.get("revised_prompt"):
        row["revised_prompt"] = words
    if request.body.get("wants_url"):
        # Nothing is kept here that an address could lead to.
        row["url"] = f"data:{one.get('media_type') or 'image/png'};base64,{one['b64_json']}"
    return row


def _looks(request: ChatRequest, row: Json) -> Json:
    """Return what OpenAI's events say of a picture: as it was asked for."""
    body = request.body
    return {
        "background": body.get("background", "auto"),
        "output_format": str(row.get("media_type", "image/png")).removeprefix("image/"),
        "quality": body.get("quality", "auto"),
        "size": body.get("size", "auto"),
    }


def _usage(closing: Closing) -> Json:
    """Return usage in OpenRouter's words and in OpenAI's."""
    usage = closing.usage
    prompt, completion = usage.prompt_tokens, usage.completion_tokens
    text = prompt - usage.image_input_tokens
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "completion_tokens_details": {"image_tokens": usage.image_output_tokens, "reasoning_tokens": usage.reasoning_tokens},
        "input_tokens": prompt,
        "output_tokens": completion,
        "input_tokens_details": {"image_tokens": usage.image_input_tokens, "text_tokens": text},
        "output_tokens_details": {"image_tokens": usage.image_output_tokens, "text_tokens": completion - usage.image_output_tokens},
        **cost_fields(closing),
    }
