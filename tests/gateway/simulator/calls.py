"""Requests to the simulator through the gateway's own dialects."""

from typing import Any

import httpx
import msgspec

from catalog.types import EndpointSpec, ProviderSpec
from gateway.dialects.base import Answer, ChatRequest, Json, StreamDecoder
from gateway.dialects.registry import dialect_for
from gateway.relay.sse import SseDecoder
from tests.gateway.dialects.builders import endpoint, provider

# One client: making one costs more than a call.
CLIENT = httpx.Client(timeout=20, verify=False)  # noqa: S501 -- plain HTTP on loopback; loading certificates takes longer than a test
BASES = {"chat_completions": "/v1", "messages": "/v1", "gemini": "/v1beta"}


def target(dialect: str) -> tuple[EndpointSpec, ProviderSpec]:
    return endpoint("gemini-2.5-sim" if dialect == "gemini" else "sim-1"), provider("host", dialect)


def post(url: str, dialect: str, request: ChatRequest, *, stream: bool, headers: dict[str, str] | None = None) -> httpx.Response:
    spec, host = target(dialect)
    call = dialect_for(dialect).encode_request(request, spec, host, stream=stream, max_tokens=None)
    address = url + BASES[dialect] + call.path
    return CLIENT.post(address, content=call.body, headers={**call.headers, **(headers or {})}, params=call.query)


def ask(url: str, dialect: str, request: ChatRequest, **more: Any) -> Answer:
    response = post(url, dialect, request, stream=False, **more)
    assert response.status_code == 200, response.text
    return dialect_for(dialect).decode_answer(response.content)


def ask_streamed(url: str, dialect: str, request: ChatRequest, **more: Any) -> tuple[StreamDecoder, list[Json]]:
    response = post(url, dialect, request, stream=True, **more)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"].startswith("text/event-stream")
    decoder, frames = dialect_for(dialect).new_stream_decoder(), SseDecoder()
    chunks = []
    for event in [*frames.feed(response.content), *frames.finish()]:
        chunks += decoder.decode(event)
    return decoder, chunks


def body_of(response: httpx.Response) -> Any:
    return msgspec.json.decode(response.content)
