"""What every page needs to know about the site and its visitor."""

from typing import Any

from django.conf import settings
from django.http import HttpRequest

from billing.purchases.fees import fee_text

THEME_COOKIE = "tollway_theme"
THEMES = ("light", "dark")


def site(request: HttpRequest) -> dict[str, Any]:
    """Return the site's facts; ``theme`` is '' when the visitor follows the system."""
    theme = request.COOKIES.get(THEME_COOKIE, "")
    return {
        "api_base_url": f"{settings.PUBLIC_URL}/api/v1",
        "debug": settings.DEBUG,
        "demo_mode": settings.DEMO_MODE,
        "has_local_model": bool(settings.LOCAL_MODEL_URL),
        "organization": getattr(request, "organization", None),
        "public_url": settings.PUBLIC_URL,
        "purchase_fee": fee_text(),
        "theme": theme if theme in THEMES else "",
    }
