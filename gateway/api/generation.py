"""GET /api/v1/generation: one request's receipt, for any key of the organization, from the moment its answer has ended."""

from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import Organization
from accounts.queries import key_names
from billing.money import PICOS_PER_NANO
from billing.queries import ReceiptArchived
from billing.types import UsageEvent, event_time, generation_id
from gateway.api import fields
from gateway.api.key_shapes import workspace_id
from gateway.api.views import ApiView
from gateway.drf import Usd, organization_of, utc_text
from gateway.receipts import receipt
from gateway.receipts.receipt import ExplainedReceipt
from gateway.relay.errors import Gone, NotFound

_INPUT_METERS = (
    "input_tokens", "cache_read_tokens", "cache_write_tokens", "cache_write_1h_tokens", "audio_input_tokens", "image_input_tokens",
)  # fmt: skip
_OUTPUT_METERS = ("output_tokens", "reasoning_tokens", "audio_output_tokens", "image_output_tokens")


class GenerationDetail(ApiView):
    """Either kind of key."""

    def get(self, request: Request) -> Response:
        """Show the receipt named by ``id``."""
        organization, given = organization_of(request), request.query_params.get("id", "")
        if not given:
            fields.refuse("id", "is required")
        try:
            found = receipt.find(organization, given)
        except ReceiptArchived as archived:
            raise Gone(str(archived)) from archived
        if found is None:
            raise NotFound(f"Generation {given[:64]} not found")
        return Response({"data": receipt_data(found, organization)})


def receipt_data(found: ExplainedReceipt, organization: Organization) -> dict[str, Any]:
    """Return a receipt as the contract has it, with fields of our own: status, requested_model, is_estimate, simulated, api_key_name,
    price_version_id, markup_basis_points, booked, paid_with.
    """
    event = found.event
    charged = Usd(event.amount_nanos)
    return {
        "id": generation_id(event.event_id),
        "request_id": None,
        "upstream_id": event.upstream_id or None,
        "created_at": utc_text(event_time(event.event_id)),
        "api_type": event.api_type,
        "model": event.model,
        "requested_model": event.requested_model,
        "provider_name": event.provider_name,
        "provider_responses": _attempts(event),
        "status": event.status,
        "cancelled": event.status == "cancelled",
        "streamed": event.streamed,
        "finish_reason": event.finish_reason or None,
        "native_finish_reason": event.native_finish_reason or None,
        "error_type": event.error_type or None,
        "total_cost": charged,
        "usage": charged,
        "cache_discount": _cache_discount(found),
        "is_byok": False,
        "upstream_inference_cost": None,
        "price_version_id": event.price_version_id,
        "markup_basis_points": found.price.markup_basis_points if found.price else None,
        "booked": found.booked_at is not None,
        "paid_with": [
            {"credit": share.credit, "grant": str(share.grant) if share.grant else None, "amount": Usd(share.amount_nanos)}
            for share in found.shares
        ],
        "is_estimate": event.is_estimate,
        "simulated": event.simulated,
        "service_tier": event.service_tier or None,
        "latency": event.latency_ms,
        "generation_time": event.generation_ms,
        "moderation_latency": None,
        "app_id": None,
        "http_referer": event.app_referer or None,
        "origin": event.app_referer,
        "user_agent": event.user_agent or None,
        "session_id": event.session_id or None,
        "external_user": event.external_user or None,
        "api_key_name": key_names(organization, [event.key_id]).get(event.key_id),
        "workspace_id": workspace_id(organization),
        "data_region": "global",
        "preset_id": None,
        "router": None,
        "response_cache_source_id": None,
        "web_search_engine": None,
        **_counts(event.meters),
    }


def _cache_discount(found: ExplainedReceipt) -> Usd | None:
    # What a cached prompt saved, as far as it was charged at all; below zero for what writing the cache cost more.
    picos = found.explanation.cache_discount_picos if found.explanation.rule == "metered" else 0
    return Usd(picos // PICOS_PER_NANO) if picos else None


def _counts(meters: dict[str, int]) -> dict[str, int | None]:
    prompt, completion = (sum(meters.get(name, 0) for name in names) for names in (_INPUT_METERS, _OUTPUT_METERS))
    return {
        "tokens_prompt": prompt,
        "tokens_completion": completion,
        "native_tokens_prompt": prompt,
        "native_tokens_completion": completion,
        "native_tokens_reasoning": meters.get("reasoning_tokens", 0),
        "native_tokens_cached": meters.get("cache_read_tokens", 0),
        "native_tokens_completion_images": meters.get("image_output_tokens", 0),
        "num_media_prompt": None,
        "num_media_completion": None,
        "num_input_audio_prompt": None,
        "num_search_results": meters.get("searches", 0),
        "num_fetches": None,
    }


def _attempts(event: UsageEvent) -> list[dict[str, Any]]:
    return [
        {
            "endpoint_id": attempt.endpoint_id,
            "model_permaslug": event.model,
            # The event keeps the display name of the provider that answered; the others are known by their slug.
            "provider_name": event.provider_name if attempt.provider == event.provider else attempt.provider,
            "status": attempt.status or None,
            "latency": attempt.latency_ms,
            "is_byok": False,
        }
        for attempt in event.attempts
    ]
