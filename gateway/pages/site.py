"""Small pages of the site itself: theme, robots, the sheet of components in development, errors."""

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_POST, require_safe

from gateway.context_processors import THEME_COOKIE, THEMES

_ONE_YEAR_S = 31_536_000

_ROBOTS = """User-agent: *
Disallow: /accounts/
Disallow: /api/
Disallow: /credits
Disallow: /dashboard
Disallow: /keys
Disallow: /operator/
Disallow: /organizations/
Disallow: /requests
"""

SAMPLE_AMOUNTS_NANOS = (0, 1, 214_000, 1_234_567, 10_000_000, 4_200_000_000, 12_345_678_901, 123_456_789_012_345_678, -250_000_000)


@require_POST
def change_theme(request: HttpRequest) -> HttpResponse:
    """Remember the other theme: what the toggle does where no script runs."""
    present = request.COOKIES.get(THEME_COOKIE, "")
    theme = "light" if present == "dark" else "dark"
    target = request.POST.get("next", "/")
    if not url_has_allowed_host_and_scheme(target, allowed_hosts={request.get_host()}, require_https=request.is_secure()):
        target = "/"
    response = redirect(target)
    response.set_cookie(THEME_COOKIE, theme, max_age=_ONE_YEAR_S, samesite="Lax", secure=settings.HTTPS)
    return response


@require_safe
def robots(_request: HttpRequest) -> HttpResponse:
    """Keep crawlers out of everything that belongs to somebody, and show them the rest."""
    return HttpResponse(f"{_ROBOTS}\nSitemap: {settings.PUBLIC_URL}{reverse('sitemap')}\n", content_type="text/plain; charset=utf-8")


@require_safe
def design(request: HttpRequest) -> HttpResponse:
    """Show every component once, in development only."""
    if not settings.DEBUG:
        raise Http404
    return render(request, "pages/design.html", {"amounts": SAMPLE_AMOUNTS_NANOS, "themes": THEMES})


def bad_request(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:  # noqa: ARG001 -- Django passes it by name
    """Answer 400."""
    return render(request, "400.html", status=400)


def forbidden(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:  # noqa: ARG001 -- Django passes it by name
    """Answer 403."""
    return render(request, "403.html", status=403)


def not_found(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:  # noqa: ARG001 -- Django passes it by name
    """Answer 404."""
    return render(request, "404.html", status=404)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:  # noqa: ARG001 -- Django's signature; the reason is logged by Django
    """Answer a form that was open too long or came from elsewhere."""
    return render(request, "403_csrf.html", status=403)


def server_error(request: HttpRequest) -> HttpResponse:
    """Answer 500 with a page that asks nothing of the parts that may be broken: no session, no database."""
    return HttpResponse(render_to_string("500.html", {"request_id": getattr(request, "request_id", "")}), status=500)
