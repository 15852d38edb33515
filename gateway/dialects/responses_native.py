"""Responses from a client to a provider that speaks Responses too: the body as it came, with the needed edits. Pure."""

from catalog.types import EndpointSpec
from gateway.dialects.base import ChatRequest, Json
from gateway.dialects.sealed_details import is_sealed, open_detail

_FORMAT = "openai-responses-v1"
# Fields that pass through; anything else might cost what no hold covers, or leave something behind at the provider.
_PASSED = frozenset(
    {
        "instructions", "tools", "tool_choice", "temperature", "top_p", "parallel_tool_calls", "text", "reasoning", "top_logprobs",
        "truncation", "prompt_cache_key", "prompt_cache_retention",
    }
)  # fmt: skip
_INCLUDED = ("message.output_text.logprobs",)
_LISTED = ("temperature", "top_p", "tools")
# Ids that we made; the provider does not know them.
_OURS = ("message", "function_call", "function_call_output", "custom_tool_call", "custom_tool_call_output")


def native_body(request: ChatRequest, endpoint: EndpointSpec, dropped: list[str]) -> Json:
    """Return the body for ``endpoint``, but for limits, tier, user and thinking; what it does not know is added to ``dropped``."""
    source, supported = request.native, endpoint.supported_parameters
    unknown = [name for name in _LISTED if supported and source.get(name) is not None and name not in supported]
    if "tools" in unknown:
        unknown += [name for name in ("tool_choice", "parallel_tool_calls") if source.get(name) is not None]
    dropped += [name for name in unknown if name not in dropped]
    given = source["input"]
    body: Json = {"model": endpoint.provider_model_id, "input": given if isinstance(given, str) else _items(given)}
    for name, value in source.items():
        if value is not None and name in _PASSED and name not in unknown:
            body[name] = value
    if include := [one for one in source.get("include") or () if one in _INCLUDED]:
        body["include"] = include
    return body


def _items(source: list[Json]) -> list[Json]:
    """Return the items without our ids, and with thoughts as the provider told them; those of another provider are left out."""
    items: list[Json] = []
    for item in source:
        kind = item.get("type") or "message"
        if kind == "reasoning":
            if (known := _known_thoughts(item)) is not None:
                items.append(known)
        elif kind in _OURS and "id" in item:
            items.append({name: value for name, value in item.items() if name != "id"})
        else:
            items.append(item)
    return items


def _known_thoughts(item: Json) -> Json | None:
    sealed = item.get("encrypted_content")
    if not isinstance(sealed, str) or not sealed:
        return None  # nothing is stored there either, so words alone mean nothing to it
    if not is_sealed(sealed):
        return {name: value for name, value in item.items() if name not in ("status", "content")}
    detail = open_detail(sealed)
    if detail is None or detail["type"] != "reasoning.encrypted" or detail.get("format") != _FORMAT:
        return None
    thought: Json = {"type": "reasoning", "summary": item.get("summary") or [], "encrypted_content": detail.get("data")}
    if detail.get("id"):
        thought["id"] = detail["id"]
    return thought
