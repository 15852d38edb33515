"""The simulator's pictures in OpenAI's form. Pure.

A picture is counted as OpenAI counts them at medium quality, 1,056 tokens and more with its area; at high quality four times that.
"""

from gateway.simulator.directives import Directives, find_in_text
from gateway.simulator.forms import FormWire
from gateway.simulator.pictures import draw_base64
from gateway.simulator.replies import SimReply, SimRequest, SimUsage
from gateway.simulator.tokens import IMAGE_TOKENS, count_tokens
from gateway.simulator.wire import BadBody, Json, Prompt

_CREATED_S = 1_767_225_600
_TOKENS, _QUALITIES = 1056, {"low": 272, "high": 4160}
_COUNT_MAX = 10


def paint(request: SimRequest) -> SimReply:
    """Return the pictures of a request."""
    width, height = request.picture_size
    keys = [f"{request.model}\n{request.prompt_key}\n{place}" for place in range(request.n)]
    usage = SimUsage(input_tokens=request.prompt_tokens, image_tokens=request.picture_tokens * request.n)
    pictures = [draw_base64(key, width, height) for key in keys]
    return SimReply(id=request.prompt_key[:24], model=request.model, choices=[], usage=usage, pictures=pictures)


class ImagesWire(FormWire):
    """POST /v1/images/generations and, as a form, /v1/images/edits."""

    def read(self, body: Json, *, model: str, stream: bool) -> SimRequest:
        """Reduce a body."""
        del stream
        text, count = body.get("prompt"), int(body.get("n") or 1)
        if not isinstance(text, str) or not text:
            raise BadBody("'prompt' must be a string and not empty")
        if not 1 <= count <= _COUNT_MAX:
            raise BadBody(f"'n' must be from 1 to {_COUNT_MAX}")
        prompt = Prompt()
        prompt.add_text(text)
        width, height = _size(body)
        tokens = _QUALITIES.get(str(body.get("quality")), _TOKENS) * max(width * height, 1) // (1024 * 1024)
        return SimRequest(
            model=str(body.get("model") or model),
            prompt_tokens=count_tokens(text) + IMAGE_TOKENS * len(body.get("files", ())),
            prompt_key=prompt.key,
            control=find_in_text(text),
            make=paint,
            n=count,
            picture_size=(width, height),
            picture_tokens=max(tokens, 1),
        )

    def answer(self, reply: SimReply, *, directives: Directives) -> Json:
        """Write the pictures."""
        body: Json = {"created": _CREATED_S, "data": [{"b64_json": one} for one in reply.pictures]}
        if "empty" in directives:
            body["data"] = []
        if "missing_usage" not in directives:
            usage = SimUsage() if "zero_usage" in directives else reply.usage
            body["usage"] = {
                "input_tokens": usage.prompt_tokens,
                "output_tokens": usage.image_tokens,
                "total_tokens": usage.prompt_tokens + usage.image_tokens,
                "input_tokens_details": {"text_tokens": usage.prompt_tokens, "image_tokens": 0},
                "output_tokens_details": {"text_tokens": 0, "image_tokens": usage.image_tokens},
            }
        return body


class ImagenWire(FormWire):
    """POST /v1beta/models/{model}:predict. Imagen counts nothing: it is sold by the picture."""

    def read(self, body: Json, *, model: str, stream: bool) -> SimRequest:
        """Reduce a body."""
        del stream
        instances = body.get("instances")
        if not isinstance(instances, list) or len(instances) != 1 or not instances[0].get("prompt"):
            raise BadBody("instances must have one prompt")
        text, options = str(instances[0]["prompt"]), body.get("parameters") or {}
        prompt = Prompt()
        prompt.add_text(text)
        across, _, down = str(options.get("aspectRatio") or "1:1").partition(":")
        longest = max(int(across), int(down))
        return SimRequest(
            model=model,
            prompt_key=prompt.key,
            control=find_in_text(text),
            make=paint,
            n=int(options.get("sampleCount") or 4),
            picture_size=(1024 * int(across) // longest, 1024 * int(down) // longest),
        )

    def answer(self, reply: SimReply, *, directives: Directives) -> Json:
        """Write the predictions."""
        rows = [{"mimeType": "image/png", "bytesBase64Encoded": one} for one in reply.pictures]
        return {} if "empty" in directives else {"predictions": rows}


def _size(body: Json) -> tuple[int, int]:
    if isinstance(body.get("width"), int) and isinstance(body.get("height"), int):
        return body["width"], body["height"]
    width, _, height = str(body.get("size") or "").partition("x")
    return (int(width), int(height)) if width.isdecimal() and height.isdecimal() else (1024, 1024)
