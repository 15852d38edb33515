"""Models and prices as OpenRouter's contract has them, and response bodies. No Django.

A model's prices are those of its cheapest endpoint that answers here, in dollars as exact decimal text. ``prompt`` and ``completion`` are
required there, so models that are not priced by token carry the price of their own unit: speech per character and transcription per second
in ``prompt``, images in ``image_output``, searches of rerank models in ``request``.
"""

import calendar
import gzip
import hashlib
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

import msgspec

from catalog.pricing import usd_text
from catalog.types import EndpointSpec, ModelSpec, RateCard, TimePrice

# Meter → the name of its price.
_PRICE_NAMES: Final[Mapping[str, str]] = {
    "input_tokens": "prompt",
    "output_tokens": "completion",
    "requests": "request",
    "searches": "web_search",
    "images": "image_output",
    "image_input_tokens": "image_token",
    "audio_input_tokens": "audio",
    "audio_output_tokens": "audio_output",
    "reasoning_tokens": "internal_reasoning",
    "cache_read_tokens": "input_cache_read",
    "cache_write_tokens": "input_cache_write",
    "cache_write_1h_tokens": "input_cache_write_1h",
}
_OVERRIDE_NAMES: Final = frozenset({"prompt", "completion", "audio", "input_cache_read", "input_cache_write", "input_cache_write_1h"})
# By type of model: the unit that stands in for tokens, and where.
_UNIT_NAMES: Final[Mapping[str, Mapping[str, str]]] = {
    "speech": {"characters": "prompt"},
    "transcription": {"seconds": "prompt"},
    "rerank": {"searches": "request"},
}
_PARAMETERS: Final = frozenset({
    "temperature", "top_p", "top_k", "min_p", "top_a", "frequency_penalty", "presence_penalty", "repetition_penalty", "max_tokens",
    "max_completion_tokens", "logit_bias", "logprobs", "top_logprobs", "prediction", "seed", "response_format", "structured_outputs",
    "stop", "tools", "tool_choice", "parallel_tool_calls", "include_reasoning", "reasoning", "reasoning_effort", "web_search_options",
    "verbosity",
})  # fmt: skip
_TOKENIZERS: Final = frozenset({
    "Router", "Media", "Other", "GPT", "Claude", "Gemini", "Gemma", "Grok", "Cohere", "Nova", "Qwen", "Yi", "DeepSeek", "Mistral",
    "Llama2", "Llama3", "Llama4", "PaLM", "RWKV", "Qwen3",
})  # fmt: skip
_INPUT_MODALITIES: Final = frozenset({"text", "image", "file", "audio", "video"})
# Type of model → its output as the contract calls it; chat models say their own.
_OUTPUT_MODALITIES: Final[Mapping[str, list[str]]] = {
    "embedding": ["embeddings"],
    "rerank": ["rerank"],
    "speech": ["speech"],
    "transcription": ["transcription"],
}
_CONTRACT_OUTPUTS: Final = frozenset({"text", "image", "audio", "video"})
_WEEKDAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_MINUTES_PER_DAY: Final = 1_440


ROUTER_INPUTS: Final = ("text", "image", "file", "audio", "video")
ROUTER_PARAMETERS: Final = (
    "temperature", "top_p", "max_tokens", "stop", "seed", "response_format", "structured_outputs", "tools", "tool_choice", "reasoning",
    "include_reasoning",
)  # fmt: skip


class Router(NamedTuple):
    """A name that stands for a choice among models. ``also`` are other names of it."""

    id: str
    name: str
    description: str
    created_s: int
    is_free: bool = False
    also: tuple[str, ...] = ()


class Body(NamedTuple):
    """A response body, plain and compressed, and its entity tag (weak: it names the content, not its encoding)."""

    plain: bytes
    gzip: bytes
    etag: bytes
    content_type: bytes


def _prices(rates: Mapping[str, int], model_type: str) -> dict[str, str]:
    names = {**_PRICE_NAMES, **_UNIT_NAMES.get(model_type, {})}
    return {names[meter]: usd_text(rate) for meter, rate in rates.items() if meter in names}


def _hhmm(minute: int) -> int:
    return minute // 60 * 100 + minute % 60


def _window_condition(window: TimePrice) -> dict[str, Any]:
    condition: dict[str, Any] = {}
    if window.end_minute - window.start_minute != _MINUTES_PER_DAY:
        condition["utc_start"] = _hhmm(window.start_minute)
        condition["utc_end"] = _hhmm(window.end_minute % _MINUTES_PER_DAY)
    if window.weekdays:
        condition["utc_days"] = [_WEEKDAYS[day - 1] for day in window.weekdays]
    return condition


def pricing_body(card: RateCard, model_type: str) -> dict[str, Any]:
    """Return the pricing object of a card: base prices, then what long prompts and hours change."""
    pricing: dict[str, Any] = {"prompt": "0", "completion": "0", **_prices(card.rates, model_type)}
    overrides = [
        {**condition, **{name: text for name, text in _prices(rates, model_type).items() if name in _OVERRIDE_NAMES}}
        for condition, rates in (
            *((_window_condition(window), window.rates) for window in card.time_prices),
            *(({"min_prompt_tokens": tier.min_prompt_tokens}, tier.rates) for tier in card.tiers),
        )
    ]
    if overrides:
        pricing["overrides"] = overrides
    return pricing


def _last_day(partial: str) -> str | None:
    """Return the last day that a date such as '2025-10' can mean, as YYYY-MM-DD; None for ''."""
    parts = [int(part) for part in partial.split("-")] if partial else []
    match parts:
        case [year]:
            return f"{year}-12-31"
        case [year, month]:
            return f"{year}-{month:02d}-{calendar.monthrange(year, month)[1]:02d}"
        case [_, _, _]:
            return partial
        case _:
            return None


def contract_parameters(names: Iterable[str]) -> list[str]:
    """Return the request parameters that the contract has a word for, in its spelling."""
    return [one for one in names if one in _PARAMETERS]


def architecture_body(model: ModelSpec) -> dict[str, Any]:
    """Return what goes into a model and comes out of it."""
    inputs = [one for one in model.input_modalities if one in _INPUT_MODALITIES]
    outputs = _OUTPUT_MODALITIES.get(model.type) or [one for one in model.output_modalities if one in _CONTRACT_OUTPUTS]
    family = model.tokenizer.partition(" ")[0] if "(GPT)" not in model.tokenizer else "GPT"
    return {
        "modality": f"{'+'.join(inputs)}->{'+'.join(outputs)}",
        "input_modalities": inputs,
        "output_modalities": outputs,
        "tokenizer": family if family in _TOKENIZERS else "Other",
        "instruct_type": None,
    }


def model_body(model: ModelSpec, endpoint: EndpointSpec) -> dict[str, Any]:
    """Return one model as the contract's Model, priced by ``endpoint``."""
    body: dict[str, Any] = {
        "id": model.id,
        "canonical_slug": model.canonical_slug,
        "hugging_face_id": model.hugging_face_id or None,
        "name": model.name,
        "created": model.created_s,
        "description": model.description,
        "context_length": model.context_length or None,
        "architecture": architecture_body(model),
        "pricing": pricing_body(endpoint.price, model.type),
        "top_provider": {
            "context_length": endpoint.context_length or None,
            "max_completion_tokens": endpoint.max_output_tokens or None,
            "is_moderated": model.is_moderated,
        },
        "per_request_limits": None,
        "supported_parameters": contract_parameters(model.supported_parameters),
        "default_parameters": None,
        "supported_voices": None,
        "knowledge_cutoff": _last_day(model.knowledge_cutoff),
        "expiration_date": model.expiration_date or None,
        "links": {"details": f"/api/v1/models/{model.id}/endpoints"},
    }
    if model.reasoning:
        body["reasoning"] = {"mandatory": False, "supported_efforts": list(model.reasoning_efforts) or None}
    return body


def alias_body(target: ModelSpec, endpoint: EndpointSpec, *, alias: str) -> dict[str, Any]:
    """Return a name that stands for the newest of a family, as the contract's Model: with its target's prices and limits."""
    body = model_body(msgspec.structs.replace(target, id=alias, name=f"{target.name} (latest)"), endpoint)
    return {**body, "alias_target": {"slug": target.id, "name": target.name}, "links": {"details": f"/api/v1/models/{target.id}/endpoints"}}


def router_body(router: Router, *, context_length: int) -> dict[str, Any]:
    """Return a router as the contract's Model. What it costs is known when it has chosen: -1."""
    price = "0" if router.is_free else "-1"
    return {
        "id": router.id,
        "canonical_slug": router.id,
        "hugging_face_id": None,
        "name": router.name,
        "created": router.created_s,
        "description": router.description,
        "context_length": context_length or None,
        "architecture": {
            "modality": f"{'+'.join(ROUTER_INPUTS)}->text",
            "input_modalities": list(ROUTER_INPUTS),
            "output_modalities": ["text"],
            "tokenizer": "Router",
            "instruct_type": None,
        },
        "pricing": {"prompt": price, "completion": price},
        "top_provider": {"context_length": context_length or None, "max_completion_tokens": None, "is_moderated": False},
        "per_request_limits": None,
        "supported_parameters": contract_parameters(ROUTER_PARAMETERS),
        "default_parameters": None,
        "supported_voices": None,
        "knowledge_cutoff": None,
        "expiration_date": None,
        "links": {"details": f"/api/v1/models/{router.id}/endpoints"},
    }


def make_body(content: bytes, *, content_type: bytes = b"application/json") -> Body:
    """Return a response body, compressed. A thread is the place for a large one: compression of the whole list takes 20 ms."""
    return Body(content, gzip.compress(content, 6, mtime=0), f'W/"{hashlib.sha256(content).hexdigest()[:32]}"'.encode(), content_type)
