"""One request's receipt as a signed paper: everything that makes the charge, so that it can be recomputed without us."""

import datetime as dt
from typing import Any, Final, NamedTuple

import msgspec
from django.conf import settings

from accounts import audit
from accounts.models import Organization, User
from accounts.permissions import NotPermitted
from accounts.queries import key_hashes
from billing import queries
from billing.receipts import funding, signing
from billing.receipts.funding import Share
from billing.types import AttemptRecord, UsageEvent, event_id_from, event_time, generation_id
from gateway.drf import utc_text
from gateway.receipts.explanation import Explanation, Price, explain, find_price

KIND: Final = "tollway.receipt/1"


class ExplainedReceipt(NamedTuple):
    """A receipt with its price version, the sum, and which credit paid. ``booked_at`` is None while the charge waits to be booked."""

    event: UsageEvent
    price: Price | None
    explanation: Explanation
    shares: list[Share]
    booked_at: dt.datetime | None


def find(organization: Organization, generation: str) -> ExplainedReceipt | None:
    """Return the receipt of a request by its public id; None for what is no id and for other organizations' requests."""
    try:
        event_id = event_id_from(generation)
    except ValueError:
        return None
    found = queries.full_receipt(organization, event_id)
    if found is None:
        return None
    price = find_price(found.event.price_version_id)
    return ExplainedReceipt(
        event=found.event,
        price=price,
        explanation=explain(found.event, price),
        shares=funding.shares_of(found.rows),
        booked_at=max((row.booked_at for row in found.rows), default=None),
    )


def find_for_operator(organization: Organization, generation: str, *, by: User) -> ExplainedReceipt | None:
    """The same for an operator of the service, whose look is noted in the organization's audit trail. Raises: NotPermitted."""
    if not (by.is_staff and by.is_active):
        raise NotPermitted("not permitted: receipts of other organizations")
    found = find(organization, generation)
    if found is not None:
        audit.record(organization_id=organization.pk, by=by, action="receipt.viewed", target=generation_id(found.event.event_id))
    return found


def signed(receipt: ExplainedReceipt, organization: Organization) -> bytes:
    """Return the receipt as signed JSON."""
    return signing.sign(document(receipt, organization))


def document(receipt: ExplainedReceipt, organization: Organization) -> dict[str, Any]:
    """Return what is signed. What the provider charges us is not in it: the paper is the customer's."""
    event = receipt.event
    return {
        "kind": KIND,
        "issuer": settings.PUBLIC_URL,
        "organization": organization.public_id,
        "id": generation_id(event.event_id),
        "created_at": utc_text(event_time(event.event_id)),
        "key": key_hashes(organization, [event.key_id]).get(event.key_id),
        "api_type": event.api_type,
        "status": event.status,
        "model": event.model,
        "requested_model": event.requested_model,
        "provider": event.provider,
        "endpoint": event.endpoint_id,
        "service_tier": event.service_tier,
        "streamed": event.streamed,
        "simulated": event.simulated,
        "finish_reason": event.finish_reason,
        "http_status": event.http_status,
        "error_type": event.error_type,
        "attempts": [_attempt(attempt) for attempt in event.attempts],
        "started_at_ms": event.started_at_ms,
        "latency_ms": event.latency_ms,
        "generation_ms": event.generation_ms,
        "meters": event.meters,
        "is_estimate": event.is_estimate,
        "price": None if receipt.price is None else price_document(receipt.price),
        "lines": [msgspec.structs.asdict(line) for line in receipt.explanation.lines],
        "rule": receipt.explanation.rule,
        "amount_picos": event.amount_picos,
        "amount_nanos": event.amount_nanos,
        "held_nanos": event.hold_nanos,
        "booked": receipt.booked_at is not None,
        "paid_with": [
            {"credit": share.credit, "grant": str(share.grant) if share.grant else None, "amount_nanos": share.amount_nanos}
            for share in receipt.shares
        ],
    }


def price_document(price: Price) -> dict[str, Any]:
    """Return a price version as papers have it: rates in picos (1e-12 USD) per unit, and the markup that is in them."""
    return {
        "version": price.version_id,
        "endpoint": price.endpoint,
        "effective_from": utc_text(price.effective_from),
        "markup_basis_points": price.markup_basis_points,
        "markup_floor_picos": price.markup_floor_picos,
        "card": msgspec.to_builtins(price.card),
    }


def _attempt(attempt: AttemptRecord) -> dict[str, Any]:
    return {
        "endpoint": attempt.endpoint_id,
        "provider": attempt.provider,
        "outcome": attempt.reason or "answered",
        "http_status": attempt.status,
        "latency_ms": attempt.latency_ms,
    }
