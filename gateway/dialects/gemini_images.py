"""Pictures at Google: models that draw in a chat, and Imagen, which predicts. Pure."""

from urllib.parse import quote

import msgspec

from catalog.types import EndpointSpec, ProviderSpec, Usage
from gateway.dialects.base import Answer, BadAnswer, ChatRequest, InvalidRequest, Json, UpstreamCall, UpstreamDialect
from gateway.dialects.faults import malformed
from gateway.dialects.units import JSON_HEADERS, UnitDialect, encode_json, read_answer, whole_answer

# What each takes of a wish; the rest is reported as left out.
_IMAGEN_TAKES = frozenset({"prompt", "n", "wants_url", "aspect_ratio", "size"})
_GEMINI_TAKES = _IMAGEN_TAKES | {"references", "seed", "resolution"}
_GEMINI_RATIOS = ("1:1", "2:3", "3:2", "3:4", "4:3", "4:5", "5:4", "9:16", "16:9", "21:9")


class GeminiImages(UnitDialect):
    """Models that draw in a chat: the prompt is a chat of one message, the pictures are those of its answer. Imagen predicts."""

    def __init__(self, chat: UpstreamDialect) -> None:
        self._chat = chat

    def encode_request(
        self, request: ChatRequest, endpoint: EndpointSpec, provider: ProviderSpec, *, stream: bool, max_tokens: int | None
    ) -> UpstreamCall:
        """Write the chat. Raises: InvalidRequest for several pictures: one answer has as many as the model likes."""
        del stream
        asked = request.body
        if endpoint.provider_model_id.startswith("imagen"):
            return _encode_imagen(asked, endpoint)
        if asked["n"] > 1:
            raise InvalidRequest("This model's provider draws one picture at a time; send n: 1.", "n")
        content: list[Json] = [{"type": "text", "text": asked["prompt"]}]
        content += [{"type": "image_url", "image_url": {"url": url}} for url in asked.get("references", ())]
        body: Json = {"messages": [{"role": "user", "content": content}], "modalities": ["text", "image"]}
        if "seed" in asked:
            body["seed"] = asked["seed"]
        wish = {"image_size": asked.get("resolution"), "aspect_ratio": asked.get("aspect_ratio") or _nearest_ratio(asked)}
        body["image_config"] = {name: value for name, value in wish.items() if value}
        chat = msgspec.structs.replace(request, body=body, kind="chat", stream=False)
        call = self._chat.encode_request(chat, endpoint, provider, stream=False, max_tokens=max_tokens)
        return msgspec.structs.replace(call, dropped=(*call.dropped, *(name for name in asked if name not in _GEMINI_TAKES)))

    def decode_answer(self, body: bytes) -> Answer:
        """Read the pictures out of the chat's answer. Raises: BadAnswer, also when it drew none."""
        if b'"predictions"' in body:
            return _decode_imagen(body)
        answer = self._chat.decode_answer(body)
        images = [
            {"b64_json": data, "media_type": head.removeprefix("data:").removesuffix(";base64")}
            for choice in answer.body.get("choices", ())
            for one in choice.get("message", {}).get("images", ())
            for head, _, data in [one["image_url"]["url"].partition(",")]
            if data
        ]
        if not images:
            raise BadAnswer(malformed("an answer without pictures"))
        usage = answer.usage
        if usage is not None:
            usage = msgspec.structs.replace(usage, images=len(images))
        return msgspec.structs.replace(answer, body={"images": images}, usage=usage, finish_reason=None)


def _nearest_ratio(asked: Json) -> str:
    """Return the aspect ratio that Gemini knows and that pixels come nearest to."""
    if "size" not in asked:
        return ""
    width, height = (int(edge) for edge in asked["size"].split("x"))
    return min(_GEMINI_RATIOS, key=lambda one: abs(width / height - int(one.partition(":")[0]) / int(one.partition(":")[2])))


def _encode_imagen(asked: Json, endpoint: EndpointSpec) -> UpstreamCall:
    if asked.get("references"):
        raise InvalidRequest("This model takes no pictures to begin with.", "input_references")
    options: Json = {"sampleCount": asked["n"]}
    if ratio := asked.get("aspect_ratio") or _nearest_ratio(asked):
        options["aspectRatio"] = ratio
    body = {"instances": [{"prompt": asked["prompt"]}], "parameters": options}
    return UpstreamCall(
        path=f"/models/{quote(endpoint.provider_model_id, safe='')}:predict",
        body=encode_json(body),
        headers=JSON_HEADERS,
        dropped=tuple(name for name in asked if name not in _IMAGEN_TAKES),
    )


def _decode_imagen(body: bytes) -> Answer:
    rows = read_answer(body, "list of predictions").get("predictions")
    images = [
        {"b64_json": row["bytesBase64Encoded"], "media_type": row.get("mimeType") or "image/png"}
        for row in (rows if isinstance(rows, list) else ())
        if isinstance(row, dict) and isinstance(row.get("bytesBase64Encoded"), str)
    ]
    if not images:
        raise BadAnswer(malformed("an answer without pictures"))
    return whole_answer({"images": images}, Usage(images=len(images)))
