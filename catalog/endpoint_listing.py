"""Endpoints and providers as OpenRouter's contract has them. No Django.

What nobody has measured here is null: uptime, latency and throughput (measurements.py). What a provider says about itself only by its
prices is read from them: caching is implicit where cache reads have a price of their own and writes have none.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from catalog.listing import architecture_body, contract_parameters, pricing_body
from catalog.measurements import NOT_MEASURED, Measurement
from catalog.pricing import usd_text
from catalog.types import EndpointSpec, ModelSpec, ProviderSpec, Snapshot

# A provider's own name for a service tier → the contract's.
_SERVICE_TIERS: Final[Mapping[str, str]] = {
    "fast": "priority",
    "turbo": "priority",
    "highspeed": "priority",
    "ultraspeed": "ultrafast",
    "flex": "flex",
    "priority": "priority",
}
# Meter → what is billed and by which unit, for image models.
_IMAGE_PRICES: Final[Mapping[str, tuple[str, str]]] = {
    "images": ("output_image", "image"),
    "image_output_tokens": ("output_image", "token"),
    "output_tokens": ("output_image", "token"),
    "image_input_tokens": ("input_image", "token"),
    "input_tokens": ("input_text", "token"),
    "requests": ("output_image", "request"),
}


def endpoint_body(endpoint: EndpointSpec, model: ModelSpec, provider: ProviderSpec, measured: Measurement = NOT_MEASURED) -> dict[str, Any]:
    """Return one endpoint as the contract's PublicEndpoint."""
    parameters = endpoint.supported_parameters
    rates = endpoint.price.rates
    can_call, can_choose = "tools" in parameters, "tool_choice" in parameters
    return {
        "name": f"{provider.name} | {model.canonical_slug}",
        "model_id": model.id,
        "model_name": model.name,
        "provider_name": provider.name,
        "tag": endpoint.tag,
        "context_length": endpoint.context_length or model.context_length,
        "max_completion_tokens": endpoint.max_output_tokens or None,
        "max_prompt_tokens": None,
        "quantization": endpoint.quantization or "unknown",
        "pricing": pricing_body(endpoint.price, model.type),
        "status": 0,
        "service_tier": _SERVICE_TIERS.get(endpoint.variant),
        "supported_parameters": contract_parameters(sorted(parameters)),
        "supports_implicit_caching": "cache_read_tokens" in rates and "cache_write_tokens" not in rates,
        "supports_tool_choice": {"auto": can_call, "none": can_call, "required": can_choose, "function": can_choose},
        "supports_voice_cloning": False,
        "supports_diarization": False,
        "native_tools": {},
        **measured.fields,
    }


def model_endpoints_body(
    model: ModelSpec,
    endpoints: Iterable[EndpointSpec],
    providers: Mapping[str, ProviderSpec],
    measured: Mapping[str, Measurement] | None = None,
) -> dict[str, Any]:
    """Return a model with these endpoints as the contract's ListEndpointsResponse, with what was measured at them."""
    known = measured or {}
    return {
        "id": model.id,
        "name": model.name,
        "created": model.created_s,
        "description": model.description,
        "architecture": architecture_body(model),
        "endpoints": [endpoint_body(one, model, providers[one.provider], known.get(one.id, NOT_MEASURED)) for one in endpoints],
    }


def zero_retention_body(snapshot: Snapshot, endpoints: Iterable[EndpointSpec]) -> list[dict[str, Any]]:
    """Return those endpoints whose provider keeps nothing of a request, by its public terms."""
    return [
        endpoint_body(one, snapshot.models[one.model], snapshot.providers[one.provider])
        for one in endpoints
        if keeps_nothing(snapshot.providers[one.provider])
    ]


def keeps_nothing(provider: ProviderSpec) -> bool:
    """Return whether the provider's public terms say that it retains nothing; unknown is no."""
    return provider.data_policy.get("zdr") is True


def provider_body(provider: ProviderSpec) -> dict[str, Any]:
    """Return a provider as the contract's list of providers has it."""
    return {
        "name": provider.name,
        "slug": provider.slug,
        "headquarters": provider.hq or None,
        "datacenters": None,
        "privacy_policy_url": provider.privacy_policy_url or None,
        "terms_of_service_url": provider.terms_url or None,
        "status_page_url": provider.status_page_url or None,
    }


def image_model_body(model: ModelSpec) -> dict[str, Any]:
    """Return a model as the contract's list of image models has it. Which sizes and counts it takes is unknown, so none is claimed."""
    architecture = architecture_body(model)
    return {
        "id": model.id,
        "name": model.name,
        "created": model.created_s,
        "description": model.description,
        "architecture": {name: architecture[name] for name in ("input_modalities", "output_modalities")},
        "supported_parameters": {},
        "supports_streaming": False,
        "endpoints": f"/api/v1/images/models/{model.id}/endpoints",
    }


def _image_prices(endpoint: EndpointSpec) -> list[dict[str, Any]]:
    rates = endpoint.price.rates
    # An image model's text output costs what its images cost, unless they have a price of their own.
    shown = [
        meter
        for meter in _IMAGE_PRICES
        if meter in rates and not (meter == "output_tokens" and rates.keys() & {"images", "image_output_tokens"})
    ]
    return [
        {"billable": _IMAGE_PRICES[meter][0], "unit": _IMAGE_PRICES[meter][1], "cost_usd": msgspec.Raw(usd_text(rates[meter]).encode())}
        for meter in shown
    ]


def image_endpoints_body(model: ModelSpec, endpoints: Iterable[EndpointSpec], providers: Mapping[str, ProviderSpec]) -> dict[str, Any]:
    """Return an image model's endpoints with their prices, as exact JSON numbers of dollars."""
    return {
        "id": model.id,
        "endpoints": [
            {
                "provider_name": providers[one.provider].name,
                "provider_slug": one.provider,
                "provider_tag": one.tag,
                "pricing": _image_prices(one),
                "supported_parameters": {},
                "supports_streaming": False,
                "allowed_passthrough_parameters": [],
            }
            for one in endpoints
        ],
    }
