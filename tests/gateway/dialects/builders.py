"""Short ways to requests, endpoints and streams."""

from typing import Any

import msgspec

from catalog.types import EndpointSpec, ProviderSpec, RateCard
from gateway.dialects.base import ChatRequest, StreamDecoder
from gateway.dialects.chat_completions import decode_request
from gateway.relay.sse import SseEvent

HELLO = [{"role": "user", "content": "hello"}]


def request(**fields: Any) -> ChatRequest:
    return decode_request(msgspec.json.encode({"model": "author/model", "messages": HELLO, **fields}))


def endpoint(model: str = "model-1", *, supports: set[str] | None = None, max_output_tokens: int = 0) -> EndpointSpec:
    card = RateCard(rates={})
    return EndpointSpec(
        id="author/model@host",
        model="author/model",
        provider="host",
        provider_model_id=model,
        tag="host",
        price_version_id=1,
        price=card,
        cost=card,
        supported_parameters=frozenset(supports or ()),
        max_output_tokens=max_output_tokens,
    )


def provider(slug: str = "host", dialect: Any = "chat_completions", auth: str = "bearer") -> ProviderSpec:
    return ProviderSpec(slug=slug, name=slug.title(), base_url="https://host.example/v1", dialect=dialect, auth=auth)


def run_stream(decoder: StreamDecoder, *events: Any) -> list[dict[str, Any]]:
    """Decode events given as objects, (name, object) or raw bytes."""
    chunks = []
    for event in events:
        name, data = event if isinstance(event, tuple) else ("", event)
        chunks += decoder.decode(SseEvent(name, data if isinstance(data, bytes) else msgspec.json.encode(data)))
    return chunks


def deltas(chunks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [choice["delta"] for chunk in chunks for choice in chunk["choices"]]
