"""The legacy completions of OpenAI as clients speak them: one prompt, answered by a chat model with the text alone. Pure."""

from typing import Any

import msgspec

from gateway.dialects.base import ChatRequest, InvalidRequest, Json
from gateway.dialects.chat_client import usage_of
from gateway.dialects.chat_completions import parse_json, read_request
from gateway.dialects.client import Closing, Head, StreamEncoder
from gateway.dialects.content import said_text
from gateway.dialects.hidden_thoughts import hide_thoughts, hiding
from gateway.dialects.prompts import message_from_prompt
from gateway.relay.sse import DONE

_encode_json = msgspec.json.Encoder().encode
_LOGPROBS_MAX = 20
_OWN = ("prompt", "echo", "suffix", "best_of", "logprobs")


def decode_completions_request(data: bytes) -> ChatRequest:
    """Read a client's body. Raises: InvalidRequest with the field and what it must be."""
    body = parse_json(data)
    if not isinstance(body, dict):
        raise InvalidRequest("The body must be an object.")
    canonical: Json = {name: value for name, value in body.items() if name not in _OWN}
    canonical["messages"] = [message_from_prompt(body.get("prompt"))]
    for name in ("echo", "suffix"):
        if body.get(name):
            raise InvalidRequest(f"{name} is not supported: chat models answer, they do not continue a text.", name)
    if body.get("best_of") not in (None, 1, body.get("n")):
        raise InvalidRequest("best_of is not supported; use n.", "best_of")
    logprobs = body.get("logprobs")
    if logprobs is not None and logprobs is not False:
        if not isinstance(logprobs, int) or logprobs > _LOGPROBS_MAX or logprobs < 0:
            raise InvalidRequest(f"logprobs must be a whole number from 0 to {_LOGPROBS_MAX}.", "logprobs")
        canonical["logprobs"] = True
        canonical["top_logprobs"] = int(logprobs)
    request = read_request(canonical, has_extras=True)
    request.native, request.native_dialect = body, "completions"
    return request


def _choice(choice: Json, said: Json) -> Json:
    translated: Json = {
        "text": said_text(said),
        "index": choice["index"],
        "logprobs": _logprobs(choice.get("logprobs")),
        "finish_reason": choice.get("finish_reason"),
        "native_finish_reason": choice.get("native_finish_reason"),
    }
    if said.get("reasoning"):
        translated["reasoning"] = said["reasoning"]
    return translated


def _logprobs(logprobs: Any) -> Json | None:
    """Return logprobs in the legacy form; offsets count from the start of this piece."""
    tokens = logprobs.get("content") if isinstance(logprobs, dict) else None
    if not tokens:
        return None
    offsets, total = [], 0
    for token in tokens:
        offsets.append(total)
        total += len(token["token"])
    return {
        "tokens": [token["token"] for token in tokens],
        "token_logprobs": [token["logprob"] for token in tokens],
        "top_logprobs": [{other["token"]: other["logprob"] for other in token.get("top_logprobs") or ()} for token in tokens],
        "text_offset": offsets,
    }


class CompletionsStreamEncoder(StreamEncoder):
    """Pieces of text, then usage, then ``[DONE]``."""

    __slots__ = ("_envelope",)

    def __init__(self, head: Head) -> None:
        self._envelope: Json = {
            "id": head.id,
            "object": "text_completion",
            "created": head.created_s,
            "model": head.model,
            "provider": head.provider,
        }

    def _event(self, fields: Json) -> bytes:
        return b"data: %b\n\n" % _encode_json({**self._envelope, **fields})

    def encode(self, chunks: list[Json]) -> bytes:
        """Return the events of ``chunks``."""
        return b"".join(
            self._event({"choices": [_choice(choice, choice["delta"]) for choice in chunk["choices"]]})
            for chunk in chunks
            if any(_says_something(choice) for choice in chunk["choices"])
        )

    def finish(self, closing: Closing) -> bytes:
        """Return the usage chunk and the end mark."""
        return self._event({"choices": [], "usage": usage_of(closing)}) + DONE

    def fail(self, error: Json, closing: Closing | None) -> bytes:
        """Return a chunk with the error, usage if something was answered, and the end mark."""
        choice = {"text": "", "index": 0, "logprobs": None, "finish_reason": "error", "native_finish_reason": "error"}
        return self._event({"error": error, "choices": [choice]}) + (DONE if closing is None else self.finish(closing))


def _says_something(choice: Json) -> bool:
    delta = choice["delta"]
    return bool(delta.get("content") or delta.get("refusal") or delta.get("reasoning") or choice.get("finish_reason"))


class CompletionsClient:
    """POST /api/v1/completions."""

    api = "completions"
    api_type = "completions"
    shows_failed_finish = True

    def decode_request(self, data: bytes) -> ChatRequest:
        """Read a client's body. Raises: InvalidRequest."""
        return decode_completions_request(data)

    def encode_answer(self, body: Json, request: ChatRequest, head: Head, closing: Closing) -> bytes:
        """Write a text_completion."""
        hide_thoughts(body, request)
        return _encode_json(
            {
                "id": head.id,
                "object": "text_completion",
                "created": body.get("created", head.created_s),
                "model": head.model,
                "provider": head.provider,
                "system_fingerprint": body.get("system_fingerprint"),
                "choices": [_choice(choice, choice["message"]) for choice in body["choices"]],
                "usage": usage_of(closing),
            }
        )

    def new_stream_encoder(self, request: ChatRequest, head: Head) -> StreamEncoder:
        """Return an encoder for one stream."""
        return hiding(CompletionsStreamEncoder(head), request)

    def encode_error(self, error: Json, generation_id: str) -> bytes:
        """Write an error body."""
        del generation_id
        return _encode_json({"error": error})
