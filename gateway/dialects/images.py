"""Pictures at providers: OpenAI's form with its edits, the hosts' variants as data. Pure."""

import base64
import binascii
from typing import Any

from catalog.types import EndpointSpec, ProviderSpec, Usage
from gateway.dialects.base import Answer, BadAnswer, ChatRequest, InvalidRequest, Json, UpstreamCall
from gateway.dialects.chat_completions import hashed_user
from gateway.dialects.faults import malformed
from gateway.dialects.images_client import TIERS
from gateway.dialects.multipart import FormFile, write_form
from gateway.dialects.units import JSON_HEADERS, UnitDialect, encode_json, read_answer, whole_answer
from gateway.dialects.usage import count
from gateway.providers.table import image_quirks_for

_WHAT = "list of pictures"
_EDGE_STEP, _EDGE_MAX = 16, 3840
_PIXELS_MAX = 3840 * 2160
_SIGNATURES = ((b"\x89PNG", "image/png"), (b"\xff\xd8\xff", "image/jpeg"), (b"RIFF", "image/webp"), (b"GIF8", "image/gif"))
_HEAD_CHARS = 16


def media_type_of(data_base64: str) -> str:
    """Return what a picture in base64 is by its first bytes, '' if that is unknown."""
    try:
        head = base64.b64decode(data_base64[:_HEAD_CHARS], validate=True)
    except binascii.Error:
        return ""
    return next((kind for mark, kind in _SIGNATURES if head.startswith(mark)), "image/svg+xml" if head.lstrip()[:1] == b"<" else "")


def pixels_of(body: Json) -> tuple[int, int] | None:
    """Return width and height that a tier and an aspect ratio come to, in steps of 16; None if nothing was asked."""
    if size := body.get("size"):
        width, _, height = size.partition("x")
        return int(width), int(height)
    tier, ratio = body.get("resolution"), body.get("aspect_ratio")
    if not tier and not ratio:
        return None
    across, _, down = (ratio or "1:1").partition(":")
    wide, high = float(across), float(down)
    scale = min(TIERS[tier or "1K"] / (wide * high) ** 0.5, _EDGE_MAX / max(wide, high), (_PIXELS_MAX / (wide * high)) ** 0.5)
    return _step(wide * scale), _step(high * scale)


def _step(edge: float) -> int:
    return max(int(edge) // _EDGE_STEP, 1) * _EDGE_STEP


def _file_of(url: str, place: int) -> FormFile:
    head, comma, data = url.partition(",")
    if not head.startswith("data:image/") or not comma or not head.endswith(";base64"):
        param = f"input_references[{place}]"
        raise InvalidRequest(f"{param}: this model's provider takes pictures inline (data URLs) only.", param)
    kind = head.removeprefix("data:").removesuffix(";base64")
    try:
        content = base64.b64decode(data, validate=True)
    except binascii.Error as error:
        raise InvalidRequest(f"input_references[{place}] is not valid base64.", f"input_references[{place}]") from error
    return FormFile(f"image-{place}.{kind.removeprefix('image/').partition('+')[0]}", kind, content)


class OpenAiImages(UnitDialect):
    """POST …/images/generations, and …/images/edits where there are pictures to begin with."""

    def encode_request(
        self, request: ChatRequest, endpoint: EndpointSpec, provider: ProviderSpec, *, stream: bool, max_tokens: int | None
    ) -> UpstreamCall:
        """Write what the host takes of the wish. Raises: InvalidRequest for more pictures, or references, than it takes."""
        del stream, max_tokens
        quirks, asked = image_quirks_for(provider), request.body
        body: Json = {"model": endpoint.provider_model_id, "prompt": asked["prompt"]}
        if quirks.response_format:
            body["response_format"] = quirks.response_format
        if asked["n"] > 1:
            body["n"] = asked["n"]
        taken = {name: asked[name] for name in quirks.takes if name in asked}
        pixels = pixels_of(asked) if quirks.size and not taken.keys() & {"resolution", "aspect_ratio"} else None
        if pixels is not None:
            body |= {"width": pixels[0], "height": pixels[1]} if quirks.size == "edges" else {"size": f"{pixels[0]}x{pixels[1]}"}
        body |= taken
        if request.user and quirks.user_field:
            body["user"] = hashed_user(request.user)
        known = {"prompt", "n", "references", "wants_url", *quirks.takes, *(("size", "resolution", "aspect_ratio") if quirks.size else ())}
        dropped = tuple(name for name in asked if name not in known)
        references = asked.get("references")
        if not references:
            return UpstreamCall(path=quirks.path, body=encode_json(body), headers=JSON_HEADERS, dropped=dropped)
        if quirks.references:
            body["input_references"] = [{"type": "image_url", "image_url": {"url": url}} for url in references]
            return UpstreamCall(path=quirks.path, body=encode_json(body), headers=JSON_HEADERS, dropped=dropped)
        if not quirks.edits:
            raise InvalidRequest("This model's provider takes no pictures to begin with.", "input_references")
        files = [("image[]", _file_of(url, place)) for place, url in enumerate(references)]
        form, content_type = write_form([(name, str(value)) for name, value in body.items()], files)
        return UpstreamCall(path="/images/edits", body=form, headers={"content-type": content_type}, dropped=dropped)

    def decode_answer(self, body: bytes) -> Answer:
        """Read the pictures, all or none. Raises: BadAnswer."""
        parsed = read_answer(body, _WHAT)
        rows = parsed.get("data")
        images = [_picture(row) for row in rows] if isinstance(rows, list) else []
        if not images:
            raise BadAnswer(malformed("an answer without pictures"))
        return whole_answer({"images": images}, _usage(parsed.get("usage"), len(images)), upstream_id=parsed.get("id"))


def _picture(row: Any) -> Json:
    row = row if isinstance(row, dict) else {}
    data = row.get("b64_json") or row.get("base64")
    if not data and isinstance(row.get("url"), str) and row["url"].startswith("data:image/"):
        data = row["url"].partition(",")[2]
    if not isinstance(data, str) or not data:
        # An address of the provider's is not followed: what lies there tomorrow is another's.
        raise BadAnswer(malformed("a picture that is not in its answer"))
    words = row.get("revised_prompt")
    return {"b64_json": data, "media_type": media_type_of(data), "revised_prompt": words if isinstance(words, str) else ""}


def _usage(report: Any, images: int) -> Usage:
    if not isinstance(report, dict):
        return Usage(images=images)
    inputs, outputs = (one if isinstance(one := report.get(f"{side}_tokens_details"), dict) else {} for side in ("input", "output"))
    prompt, completion = (
        count(report.get("input_tokens", report.get("prompt_tokens"))),
        count(report.get("output_tokens", report.get("completion_tokens"))),
    )
    image_in = min(count(inputs.get("image_tokens")), prompt)
    cached = min(count(inputs.get("cached_tokens")), prompt - image_in)
    text_out = min(count(outputs.get("text_tokens")), completion)
    return Usage(
        input_tokens=prompt - image_in - cached,
        cache_read_tokens=cached,
        image_input_tokens=image_in,
        output_tokens=text_out,
        image_output_tokens=completion - text_out,
        images=images,
    )
