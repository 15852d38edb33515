"""Which organization a signed-in person works in, and the guard of pages that need one."""

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, Concatenate, ParamSpec, cast

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect

from accounts.models import Membership, Organization, User

SESSION_KEY = "organization"

P = ParamSpec("P")


class OrganizationRequest(HttpRequest):
    """A request that passed ``organization_required``: its person is a member of its organization."""

    user: User
    membership: Membership
    organization: Organization


def find_membership(*, user: User, session: Mapping[str, Any]) -> Membership | None:
    """Return the membership the session works in: the chosen organization if the person still belongs to it, else the oldest one."""
    memberships = list(Membership.objects.filter(user=user).select_related("organization").order_by("created_at", "id"))
    chosen = session.get(SESSION_KEY)
    return next((one for one in memberships if one.organization.public_id == chosen), memberships[0] if memberships else None)


class OrganizationMiddleware:
    """Sets ``request.membership`` and ``request.organization``; both None for visitors and for people without an organization."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Look the membership up again on every request, so that a removed member loses access at once."""
        membership = (
            find_membership(user=request.user, session=request.session)
            if isinstance(request.user, User) or request.user.is_authenticated
            else None
        )
        request.membership = membership  # type: ignore[attr-defined]  # OrganizationRequest
        request.organization = membership.organization if membership else None  # type: ignore[attr-defined]
        return self.get_response(request)


def organization_required(
    view: Callable[Concatenate[OrganizationRequest, P], HttpResponseBase],
) -> Callable[Concatenate[HttpRequest, P], HttpResponseBase]:
    """Let only members in: visitors go to the login page, people without an organization to the page that makes one."""

    @wraps(view)
    @login_required
    def guarded(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
        if getattr(request, "organization", None) is None:
            return redirect("create_organization")
        return view(cast("OrganizationRequest", request), *args, **kwargs)

    return guarded
