"""Answers, streams and errors in OpenAI's Responses, written from the canonical form. Pure.

A whole answer is the last event of its stream, so that both always say the same.
"""

import time
from typing import Any

import msgspec

from gateway.dialects.base import ChatRequest, Json, raw_usd
from gateway.dialects.blocks import BlockEncoder, Call
from gateway.dialects.client import Closing, Head
from gateway.dialects.sealed_details import seal_detail
from gateway.relay.sse import DONE

_encode_json = msgspec.json.Encoder().encode
# What nearly all of a stream is, written in one stroke.
_TEXT_DELTA = (
    b'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","sequence_number":%d,%b,"delta":%b,"logprobs":%b}\n\n'
)
# Fields of the request that a response repeats, with what stands there when they were not sent.
_ECHOED: dict[str, Any] = {
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "presence_penalty": 0,
    "frequency_penalty": 0,
    "prompt_cache_key": None,
    "safety_identifier": None,
    "temperature": None,
    "tool_choice": "auto",
    "top_logprobs": 0,
    "top_p": None,
    "truncation": "disabled",
    "user": None,
}
_CODES: dict[str, str] = {
    "rate_limit_exceeded": "rate_limit_exceeded",
    "context_length_exceeded": "invalid_prompt",
    "invalid_request": "invalid_prompt",
    "invalid_prompt": "invalid_prompt",
    "content_policy_violation": "image_content_policy_violation",
    "invalid_image": "invalid_image",
    "image_too_large": "image_too_large",
    "image_too_small": "image_too_small",
    "unsupported_image_format": "unsupported_image_media_type",
    "image_not_found": "image_file_not_found",
    "image_download_failed": "failed_to_download_image",
}
_ERROR_KINDS = {
    401: "authentication_error",
    402: "insufficient_quota",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}
_SERVER_ERROR = 500


def response_id(head: Head) -> str:
    """Return the id of a response: the generation's, with OpenAI's prefix."""
    return head.id.replace("gen-", "resp_", 1)


def responses_usage(closing: Closing) -> Json:
    """Return the usage object: input with cache reads, output with reasoning, and the charge."""
    usage = closing.usage
    body: Json = {
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": {
            "cached_tokens": usage.cache_read_tokens,
            "cache_write_tokens": usage.cache_write_tokens + usage.cache_write_1h_tokens,
        },
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "cost": raw_usd(closing.cost_nanos),
        "is_byok": False,
        "cost_details": {
            "upstream_inference_cost": raw_usd(closing.cost_nanos),
            "upstream_inference_input_cost": raw_usd(closing.prompt_cost_nanos),
            "upstream_inference_output_cost": raw_usd(closing.cost_nanos - closing.prompt_cost_nanos),
        },
    }
    if usage.searches:
        body["server_tool_use_details"] = {"web_search_requests": usage.searches}
    return body


def encode_response(body: Json, request: ChatRequest, head: Head, closing: Closing) -> bytes:
    """Write a whole answer."""
    encoder = ResponsesStreamEncoder(request, head)
    choices = body["choices"]
    if choices:
        choice = choices[0]
        delta = dict(choice["message"])
        if delta.get("tool_calls"):
            delta["tool_calls"] = [{"index": place, **call} for place, call in enumerate(delta["tool_calls"])]
        if isinstance(delta.get("content"), list):
            delta["content"] = "".join(part.get("text") or "" for part in delta["content"] if isinstance(part, dict))
        encoder.encode([{"choices": [{**choice, "index": 0, "delta": delta}]}])
    return _encode_json(encoder.conclude(closing))


def encode_responses_error(error: Json, generation_id: str) -> bytes:
    """Write an error body: OpenAI's fields, the integer code of Chat Completions, and the stable word."""
    del generation_id
    status, metadata = error["code"], error["metadata"]
    kind = _ERROR_KINDS.get(status) or ("server_error" if status >= _SERVER_ERROR else "invalid_request_error")
    shown = {**error, "type": kind, "param": metadata.get("param")}
    return _encode_json({"error": shown, "error_type": metadata["error_type"], "metadata": metadata})


class ResponsesStreamEncoder(BlockEncoder):
    """Numbered, named events: the response, its items one after the other, and the whole response again at the end."""

    __slots__ = (
        "_annotations",
        "_arriving",
        "_head",
        "_item",
        "_item_status",
        "_logprobs",
        "_number",
        "_output",
        "_request",
        "_text",
        "_thinks_in",
        "_where",
    )

    def __init__(self, request: ChatRequest, head: Head) -> None:
        super().__init__()
        self._request = request
        self._head = head
        self._number = 0
        self._output: list[Json] = []  # items that are done
        self._item: Json = {}  # the open one
        self._item_status = "completed"
        self._text: list[str] = []
        self._annotations: list[Json] = []
        self._logprobs: list[Json] = []
        self._arriving: list[Json] = []  # logprobs of the chunk at hand
        self._where = b""  # the open text's place, as events have it
        self._thinks_in = ""  # content or summary

    def _event(self, kind: str, **fields: Any) -> None:
        data = _encode_json({"type": kind, "sequence_number": self._number, **fields})
        self._number += 1
        self._out.append(b"event: %b\ndata: %b\n\n" % (kind.encode(), data))

    def _response(self, status: str, **fields: Any) -> Json:
        """Return the response so far; ``usage`` is added once it is known."""
        sent, head = self._request.native, self._head
        body: Json = {
            "id": response_id(head),
            "object": "response",
            "created_at": head.created_s,
            "completed_at": None,
            "status": status,
            "background": False,
            "error": None,
            "incomplete_details": None,
            "model": head.model,
            "provider": head.provider,
            "output": self._output,
            "previous_response_id": None,
            "reasoning": {"effort": None, "summary": None, **(sent.get("reasoning") or {})},
            "service_tier": None,
            "store": False,
            "text": {"format": {"type": "text"}, **{name: value for name, value in (sent.get("text") or {}).items() if value is not None}},
            "tools": [
                tool if tool["type"] == "custom" else {"parameters": None, "strict": None, **tool} for tool in sent.get("tools") or ()
            ],
        }
        for name, default in _ECHOED.items():
            value = sent.get(name)
            body[name] = default if value is None else value
        return {**body, **fields}

    def _item_id(self, prefix: str) -> str:
        return f"{prefix}_{self._head.id.removeprefix('gen-')}_{len(self._output)}"

    def _place(self) -> Json:
        return {"item_id": self._item["id"], "output_index": len(self._output)}

    def _open_item(self, item: Json) -> None:
        self._item = item
        self._text, self._annotations, self._logprobs = [], [], []
        self._event("response.output_item.added", output_index=len(self._output), item=item)

    def _close_item(self, **fields: Any) -> None:
        item = {**self._item, **fields, "status": self._item_status}
        self._event("response.output_item.done", output_index=len(self._output), item=item)
        self._output = [*self._output, item]

    def _write_start(self) -> None:
        self._event("response.created", response=self._response("in_progress"))
        self._event("response.in_progress", response=self._response("in_progress"))

    def _take(self, choice: Json) -> None:
        logprobs, outer = choice.get("logprobs"), self._arriving  # a choice may first tell those that waited
        self._arriving = (logprobs.get("content") or []) if isinstance(logprobs, dict) else []
        super()._take(choice)
        self._arriving = outer

    # --- words ---

    def _open_text(self) -> None:
        self._open_item({"type": "message", "id": self._item_id("msg"), "status": "in_progress", "role": "assistant", "content": []})
        self._where = _encode_json({**self._place(), "content_index": 0})[1:-1]
        self._event("response.content_part.added", **self._place(), content_index=0, part=self._part())

    def _part(self) -> Json:
        return {"type": "output_text", "text": "".join(self._text), "annotations": self._annotations, "logprobs": self._logprobs}

    def _words(self, text: str) -> bytes:
        self._text.append(text)
        listed = b"[]"
        if self._arriving:
            listed = _encode_json(self._arriving)
            self._logprobs += self._arriving
            self._arriving = []
        data = _TEXT_DELTA % (self._number, self._where, _encode_json(text), listed)
        self._number += 1
        return data

    def _write_citations(self, annotations: list[Json]) -> None:
        for one in annotations:
            cited = one.get("url_citation")
            if one.get("type") != "url_citation" or not isinstance(cited, dict):
                continue
            note = {"type": "url_citation", "url": cited.get("url", ""), "title": cited.get("title") or ""}
            note |= {"start_index": cited.get("start_index", 0), "end_index": cited.get("end_index", 0)}
            place = {**self._place(), "content_index": 0, "annotation_index": len(self._annotations)}
            self._annotations = [*self._annotations, note]
            self._event("response.output_text.annotation.added", **place, annotation=note)

    # --- thoughts ---

    def _open_thoughts(self, detail: Json) -> None:
        self._thinks_in = "summary" if detail["type"] == "reasoning.summary" else "content"
        item: Json = {"type": "reasoning", "id": self._item_id("rs"), "status": "in_progress", "summary": [], "content": []}
        self._open_item({**item, "encrypted_content": None})
        if self._thinks_in == "summary":
            part = {"type": "summary_text", "text": ""}
            self._event("response.reasoning_summary_part.added", **self._place(), summary_index=0, part=part)

    def _write_thoughts(self, detail: Json) -> None:
        if detail.get("signature"):
            sealed = {name: value for name, value in detail.items() if name not in ("text", "summary")}
            self._item = {**self._item, "encrypted_content": seal_detail(sealed)}
        text = detail.get("text") or detail.get("summary")
        if not text:
            return
        self._text.append(text)
        if self._thinks_in == "summary":
            self._event("response.reasoning_summary_text.delta", **self._place(), summary_index=0, delta=text)
        else:
            self._event("response.reasoning_text.delta", **self._place(), content_index=0, delta=text)

    def _close_thoughts(self) -> None:
        text = "".join(self._text)
        if self._thinks_in == "summary":
            part = {"type": "summary_text", "text": text}
            self._event("response.reasoning_summary_text.done", **self._place(), summary_index=0, text=text)
            self._event("response.reasoning_summary_part.done", **self._place(), summary_index=0, part=part)
        else:
            part = {"type": "reasoning_text", "text": text}
            self._event("response.reasoning_text.done", **self._place(), content_index=0, text=text)
        self._close_item(**{self._thinks_in: [part]})

    def _take_detail(self, detail: Json) -> None:
        """Put what only OpenAI can read into the item of the summary that it belongs to."""
        place = (detail.get("format"), detail.get("index"))
        if detail.get("type") == "reasoning.encrypted" and self._key == ("thoughts", "reasoning.summary", *place):
            self._item = {**self._item, "encrypted_content": seal_detail(detail)}
            self._close()
            return
        super()._take_detail(detail)

    def _write_sealed(self, detail: Json) -> None:
        item: Json = {"type": "reasoning", "id": self._item_id("rs"), "status": "in_progress", "summary": [], "content": []}
        self._open_item({**item, "encrypted_content": seal_detail(detail)})
        self._close_item()

    # --- calls and pictures ---

    def _open_call(self, call: Call) -> None:
        if call.is_custom:
            custom = {"type": "custom_tool_call", "id": self._item_id("ctc"), "status": "in_progress", "call_id": call.id}
            self._open_item({**custom, "name": call.name, "input": ""})
            return
        item = {"type": "function_call", "id": self._item_id("fc"), "status": "in_progress", "call_id": call.id, "name": call.name}
        self._open_item({**item, "arguments": ""})

    def _write_arguments(self, piece: str) -> None:
        self._text.append(piece)
        is_custom = self._item["type"] == "custom_tool_call"
        kind = "response.custom_tool_call_input.delta" if is_custom else "response.function_call_arguments.delta"
        self._event(kind, **self._place(), delta=piece)

    def _write_images(self, images: list[Json]) -> None:
        for image in images:
            url = (image.get("image_url") or {}).get("url") or ""
            self._open_item({"type": "image_generation_call", "id": self._item_id("ig"), "status": "in_progress", "result": None})
            self._close_item(result=url.partition(",")[2] if url.startswith("data:") else url)

    def _write_end_of_block(self) -> None:
        kind = self._item["type"]
        if kind == "reasoning":
            self._close_thoughts()
        elif kind == "function_call":
            arguments = "".join(self._text) or "{}"
            self._event("response.function_call_arguments.done", **self._place(), name=self._item["name"], arguments=arguments)
            self._close_item(arguments=arguments)
        elif kind == "custom_tool_call":
            text = "".join(self._text)
            self._event("response.custom_tool_call_input.done", **self._place(), input=text)
            self._close_item(input=text)
        else:
            part = self._part()
            self._event("response.output_text.done", **self._place(), content_index=0, text=part["text"], logprobs=self._logprobs)
            self._event("response.content_part.done", **self._place(), content_index=0, part=part)
            self._close_item(content=[part])

    # --- the end ---

    def conclude(self, closing: Closing) -> Json:
        """Close what is open and return the final response."""
        self._out = []
        if self._finish_reason in ("length", "content_filter", "error"):
            self._item_status = "incomplete"
        self._end()
        fields: Json = {"usage": responses_usage(closing), "service_tier": closing.service_tier or "default", **closing.extras}
        if self._finish_reason == "error":
            failure = {"code": "server_error", "message": f"{self._head.provider}: {self._native}"}
            return self._response("failed", error=failure, error_type="provider_unavailable", **fields)
        if self._finish_reason in ("length", "content_filter"):
            reason = "max_output_tokens" if self._finish_reason == "length" else "content_filter"
            return self._response("incomplete", incomplete_details={"reason": reason}, **fields)
        return self._response("completed", completed_at=max(int(time.time()), self._head.created_s), **fields)

    def finish(self, closing: Closing) -> bytes:
        """Return the ends of the open item and of the response, with usage and cost, and the end mark."""
        response = self.conclude(closing)
        self._event(f"response.{response['status']}", response=response)
        return b"".join(self._out) + DONE

    def fail(self, error: Json, closing: Closing | None) -> bytes:
        """Return the ends of the open item and of the response, which failed, and the end mark."""
        self._out = []
        self._item_status = "incomplete"
        self._end()
        error_type = error["metadata"]["error_type"]
        failure = {"code": _CODES.get(error_type, "server_error"), "message": error["message"]}
        fields = {"usage": responses_usage(closing)} if closing is not None else {}
        self._event("response.failed", response=self._response("failed", error=failure, error_type=error_type, **fields))
        return b"".join(self._out) + DONE
