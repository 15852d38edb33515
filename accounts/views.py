"""Pages of organizations. Login, sign-up and mail addresses are allauth's."""

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods, require_POST

from accounts import organizations, queries
from accounts.forms import OrganizationForm
from accounts.middleware import SESSION_KEY
from accounts.models import User


@login_required
@require_http_methods(["GET", "POST"])
def create_organization(request: HttpRequest) -> HttpResponse:
    """Make an organization and work in it: for people who have none, and for those who want another."""
    form = OrganizationForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        assert isinstance(request.user, User)  # noqa: S101 -- login_required, for mypy
        organization = organizations.create(name=form.cleaned_data["name"], owner=request.user)
        request.session[SESSION_KEY] = organization.public_id
        return redirect("dashboard")
    return render(request, "organizations/new.html", {"form": form}, status=422 if form.errors else 200)


@login_required
@require_POST
def choose_organization(request: HttpRequest, public_id: str) -> HttpResponse:
    """Work in another of one's organizations from now on; 404 for strangers."""
    assert isinstance(request.user, User)  # noqa: S101 -- login_required, for mypy
    organization = get_object_or_404(queries.organizations_of(request.user), public_id=public_id)
    request.session[SESSION_KEY] = organization.public_id
    return redirect("dashboard")
