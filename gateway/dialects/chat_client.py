"""Chat Completions as clients speak it: the canonical form, with id, model, provider and usage put in. Pure."""

import msgspec
from mypy_extensions import mypyc_attr

from billing.money import usd_text
from catalog.types import Usage
from gateway.dialects.base import ChatRequest, Json
from gateway.dialects.chat_completions import decode_request
from gateway.dialects.client import Closing, Head, StreamEncoder
from gateway.dialects.content import said_text
from gateway.dialects.custom_tools import show_free_text, showing_free_text
from gateway.dialects.hidden_thoughts import hide_thoughts, hiding
from gateway.relay.sse import DONE

_encode_json = msgspec.json.Encoder().encode
_CHAT_USAGE = (
    b'{"prompt_tokens":%d,"completion_tokens":%d,"total_tokens":%d,"cost":%b,"is_byok":false,'
    b'"prompt_tokens_details":{"cached_tokens":%d,"cache_write_tokens":%d,"audio_tokens":%d,"video_tokens":0},'
    b'"cost_details":{"upstream_inference_cost":%b,"upstream_inference_prompt_cost":%b,"upstream_inference_completions_cost":%b},'
    b'"completion_tokens_details":{"reasoning_tokens":%d,"audio_tokens":%d,"image_tokens":%d}%b}'
)


def chat_usage(usage: Usage, *, cost_nanos: int, prompt_cost_nanos: int) -> msgspec.Raw:
    """Return the usage object of Chat Completions as JSON. Prompt counts include cached tokens, completion counts include reasoning.

    ``cost_nanos`` is what the customer is charged, of which ``prompt_cost_nanos`` for the prompt; on credits the upstream costs are the
    charge itself. Amounts are exact JSON numbers. Written in one stroke: a dictionary of it is a tenth of a whole answer's time.
    """
    prompt_tokens, completion_tokens = usage.prompt_tokens, usage.completion_tokens
    cost = usd_text(cost_nanos).encode()
    searches = b',"server_tool_use_details":{"web_search_requests":%d}' % usage.searches if usage.searches else b""
    return msgspec.Raw(
        _CHAT_USAGE
        % (
            *(prompt_tokens, completion_tokens, prompt_tokens + completion_tokens, cost),
            *(usage.cache_read_tokens, usage.cache_write_tokens + usage.cache_write_1h_tokens, usage.audio_input_tokens),
            *(cost, usd_text(prompt_cost_nanos).encode(), usd_text(cost_nanos - prompt_cost_nanos).encode()),
            *(usage.reasoning_tokens, usage.audio_output_tokens, usage.image_output_tokens, searches),
        )
    )


def usage_of(closing: Closing) -> msgspec.Raw:
    """Return the ``usage`` of an answer, as JSON."""
    return chat_usage(closing.usage, cost_nanos=closing.cost_nanos, prompt_cost_nanos=closing.prompt_cost_nanos)


def failed_choice() -> list[Json]:
    """Return the choices of a chunk that tells of an error."""
    return [{"index": 0, "delta": {"content": ""}, "finish_reason": "error", "native_finish_reason": "error"}]


@mypyc_attr(native_class=False)
class ChatStreamEncoder(StreamEncoder):
    """Chunks as they are, each with the answer's name on it; then one of usage, then ``[DONE]``."""

    __slots__ = ("_envelope",)

    def __init__(self, head: Head) -> None:
        self._envelope: Json = {
            "id": head.id,
            "object": "chat.completion.chunk",
            "created": head.created_s,
            "model": head.model,
            "provider": head.provider,
        }

    def encode(self, chunks: list[Json]) -> bytes:
        """Return the events of ``chunks``."""
        envelope = self._envelope
        if len(chunks) == 1:  # nearly always
            return b"data: %b\n\n" % _encode_json({**chunks[0], **envelope})
        return b"".join([b"data: %b\n\n" % _encode_json({**chunk, **envelope}) for chunk in chunks])

    def finish(self, closing: Closing) -> bytes:
        """Return the usage chunk and the end mark."""
        usage = _encode_json({**self._envelope, "choices": [], "usage": usage_of(closing), **closing.extras})
        return b"data: %b\n\n%b" % (usage, DONE)

    def fail(self, error: Json, closing: Closing | None) -> bytes:
        """Return a chunk with the error, the usage chunk if something was answered, and the end mark."""
        chunk = _encode_json({**self._envelope, "error": error, "choices": failed_choice()})
        return b"data: %b\n\n%b" % (chunk, DONE if closing is None else self.finish(closing))


@mypyc_attr(native_class=False)
class PromptStreamEncoder(ChatStreamEncoder):
    """For a request with ``prompt``: each choice has its words as ``text`` too."""

    __slots__ = ()

    def encode(self, chunks: list[Json]) -> bytes:
        """Return the events of ``chunks``."""
        return super().encode([{**chunk, "choices": _with_text(chunk["choices"], "delta")} for chunk in chunks])


def _with_text(choices: list[Json], said: str) -> list[Json]:
    return [{**choice, "text": said_text(choice[said])} for choice in choices]


def _has_prompt(request: ChatRequest) -> bool:
    return request.native_dialect == "completions"


class ChatClient:
    """POST /api/v1/chat/completions."""

    api = "chat"
    api_type = "completions"
    shows_failed_finish = True

    def decode_request(self, data: bytes) -> ChatRequest:
        """Read a client's body. Raises: InvalidRequest."""
        return decode_request(data)

    def encode_answer(self, body: Json, request: ChatRequest, head: Head, closing: Closing) -> bytes:
        """Write a chat.completion."""
        hide_thoughts(body, request)
        show_free_text(body, request)
        body["id"] = head.id
        body["model"] = head.model
        body["provider"] = head.provider
        body["usage"] = usage_of(closing)
        if _has_prompt(request):
            body["choices"] = _with_text(body["choices"], "message")
        if closing.service_tier:
            body["service_tier"] = closing.service_tier
        body.update(closing.extras)
        return _encode_json(body)

    def new_stream_encoder(self, request: ChatRequest, head: Head) -> StreamEncoder:
        """Return an encoder for one stream."""
        encoder = PromptStreamEncoder(head) if _has_prompt(request) else ChatStreamEncoder(head)
        return showing_free_text(hiding(encoder, request), request)

    def encode_error(self, error: Json, generation_id: str) -> bytes:
        """Write an error body."""
        del generation_id
        return _encode_json({"error": error})
