"""Request id, security headers and the content security policy.

Plain synchronous middleware: the whole control plane runs on Django's one worker thread per request, so an async chain
would only add hops. The data plane never comes through here.
"""

import re
import uuid
from collections.abc import Callable, Sequence

from django.conf import settings
from django.core.exceptions import DisallowedHost
from django.http import HttpRequest, HttpResponse

from billing.purchases import stripe_api

GetResponse = Callable[[HttpRequest], HttpResponse]

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,128}")

_ADMIN_PREFIX = "/operator/"
_CREDITS_PREFIX = "/credits"

_PERMISSIONS = "camera=(), geolocation=(), microphone=(), payment=(), usb=(), browsing-topics=()"


class RequestIdMiddleware:
    """Gives every request an id: the caller's ``X-Request-Id`` when it is a sane token, else a new one; echoed in the answer."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Set ``request.request_id`` and the response header."""
        given = request.headers.get("X-Request-Id", "")
        request_id = given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        request.request_id = request_id  # type: ignore[attr-defined]  # read by error pages
        response = self.get_response(request)
        response["X-Request-Id"] = request_id
        return response


def content_security_policy(*, host: str, is_secure: bool, is_admin: bool, form_targets: Sequence[str] = ()) -> str:
    """Return the policy of one page. ``host`` may be '' when unknown: older Safari needs the websocket origin spelled out.

    ``form_targets`` are origins to which a form may lead in the end: Chromium holds redirects after a form to ``form-action`` too.

    The Django admin sets style attributes in its own templates, so it alone may have inline styles; inline scripts have no exception.
    """
    socket = f" {'wss' if is_secure else 'ws'}://{host}" if host else ""
    style = "style-src 'self' 'unsafe-inline'" if is_admin else "style-src 'self'"
    return "; ".join(
        [
            "default-src 'self'",
            "script-src 'self'",
            style,
            "img-src 'self' data:",
            "font-src 'self'",
            f"connect-src 'self'{socket}",
            "object-src 'none'",
            "base-uri 'none'",
            " ".join(["form-action 'self'", *form_targets]),
            "frame-ancestors 'none'",
        ]
    )


class HastyPagesMiddleware:
    """Lets no page wait long for Stripe: whoever looks at a blank one should be told soon. Tasks and commands may wait."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer within the pages' patience."""
        with stripe_api.hasty():
            return self.get_response(request)


class SecurityHeadersMiddleware:
    """Adds the content security policy and the headers Django's own SecurityMiddleware has no setting for."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Add what a view has not set itself."""
        response = self.get_response(request)
        try:
            host = request.get_host()
        except DisallowedHost:
            host = ""
        policy = content_security_policy(
            host=host,
            is_secure=request.is_secure(),
            is_admin=request.path.startswith(_ADMIN_PREFIX),
            # Only the pages that sell may send people to Stripe.
            form_targets=settings.STRIPE_PAGE_ORIGINS if request.path.startswith(_CREDITS_PREFIX) else (),
        )
        response.headers.setdefault("Content-Security-Policy", policy)
        response.headers.setdefault("Permissions-Policy", _PERMISSIONS)
        response.headers.setdefault("Cross-Origin-Resource-Policy", "same-origin")
        return response
