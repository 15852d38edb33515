"""Messages from a client to a provider that speaks Messages too: the body as it came, with the needed edits. Pure."""

from typing import Any

from catalog.types import EndpointSpec
from gateway.dialects.base import ChatRequest, Json
from gateway.dialects.chat_completions import hashed_user
from gateway.dialects.sealed_details import is_sealed

# Fields that pass through; anything else might cost what no hold covers. The rest of a body is set anew below.
_PASSED = frozenset(
    {
        "system", "tools", "tool_choice", "thinking", "output_config", "stop_sequences", "temperature", "top_p", "top_k", "service_tier",
        "cache_control", "context_management",
    }
)  # fmt: skip
_SAMPLING = ("temperature", "top_p", "top_k")
_TOOLS = ("tools", "tool_choice")
_TIERS = ("auto", "standard_only")


def native_body(request: ChatRequest, endpoint: EndpointSpec, *, max_tokens: int, stream: bool, dropped: list[str]) -> Json:
    """Return the body for ``endpoint``; what it does not know is added to ``dropped``. Thinking is as the client put it."""
    source = request.native
    dropped += _unknown(source, endpoint)
    body: Json = {"model": endpoint.provider_model_id, "max_tokens": max_tokens}
    for name, value in source.items():
        if value is not None and name in _PASSED and name not in dropped:
            body[name] = value
    body["messages"] = [_without_foreign_thoughts(turn) for turn in source["messages"]]
    if isinstance(body.get("output_config"), dict):
        body["output_config"] = dict(body["output_config"])
    if "temperature" in body:
        body["temperature"] = min(body["temperature"], 1)
    if request.user:
        body["metadata"] = {"user_id": hashed_user(request.user)}
    if stream:
        body["stream"] = True
    return body


def _unknown(source: Json, endpoint: EndpointSpec) -> list[str]:
    """Return the client's parameters that the endpoint does not take."""
    supported = endpoint.supported_parameters
    names = [name for name in _SAMPLING if supported and source.get(name) is not None and name not in supported]
    if supported and "tools" not in supported:
        names += [name for name in _TOOLS if source.get(name) is not None]
    if source.get("service_tier") not in (None, *_TIERS):
        names.append("service_tier")
    if source.get("speed") == "fast":
        names.append("speed")  # Anthropic bills it several times over, and the card has no such rate
    return names


def _without_foreign_thoughts(turn: Json) -> Json:
    """Return ``turn`` without thoughts that another provider had: Anthropic checks every signature."""
    content = turn["content"]
    if turn["role"] != "assistant" or not isinstance(content, list) or not any(_is_foreign(block) for block in content):
        return turn
    kept = [block for block in content if not _is_foreign(block)]
    return {**turn, "content": kept or [{"type": "text", "text": "."}]}


def _is_foreign(block: Any) -> bool:
    kind = block["type"]
    return (kind == "thinking" and not block.get("signature")) or (kind == "redacted_thinking" and is_sealed(block.get("data")))
