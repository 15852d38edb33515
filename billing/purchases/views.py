"""Where Stripe delivers its events."""

from typing import Final

from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from billing.purchases import inbox
from billing.purchases.stripe_api import BadSignature

_BODY_MAX_BYTES: Final = 512 * 1024  # Stripe's largest events are a tenth of that


@csrf_exempt
@require_POST
def receive_stripe_event(request: HttpRequest) -> HttpResponse:
    """Store what Stripe signed and answer; 400 for anything else. What it means is found out afterwards."""
    body = request.body
    if len(body) > _BODY_MAX_BYTES:
        return HttpResponse("too large", status=413, content_type="text/plain")
    try:
        inbox.receive(body=body, signature=request.headers.get("Stripe-Signature", ""))
    except BadSignature as refused:
        return HttpResponse(str(refused), status=400, content_type="text/plain")
    return HttpResponse("stored", content_type="text/plain")
