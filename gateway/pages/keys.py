"""Keys in the browser: list, make (the secret is shown once), change, switch off, delete.

The same addresses answer a whole page without script, and the drawer's content when HTMX asks.
"""

import datetime as dt
from typing import Any, NamedTuple

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts import api_keys, permissions
from accounts import queries as account_queries
from accounts.api_keys import BadKeyField, KeyChanges, UnknownKey
from accounts.middleware import OrganizationRequest, organization_required
from accounts.models import ApiKey, Organization, Role
from accounts.permissions import NotPermitted
from billing import queries as billing_queries
from billing.queries import KeyUsage
from gateway.pages.examples import snippets
from gateway.pages.key_form import KeyForm, NewKeyForm, end_of_day, initial_of

_PERMILLE = 1000
_FORM_FIELD_OF = {"limit_nanos": "limit", "expires_at": "expires_on"}


class KeyRow(NamedTuple):
    """A key as the table shows it. Amounts in nanos."""

    key: ApiKey
    spent_nanos: int
    limit_spent_nanos: int  # in the present period of the limit
    limit_permille: int
    is_used_up: bool
    is_expired: bool
    may_manage: bool


def is_htmx(request: HttpRequest) -> bool:
    """Tell whether HTMX asks for a fragment."""
    return request.headers.get("HX-Request") == "true"


def key_rows(request: OrganizationRequest, *, now: dt.datetime) -> list[KeyRow]:
    """Return the organization's keys with what they spent, newest first."""
    keys = list(account_queries.api_keys(request.organization))
    usage = billing_queries.key_usage(request.organization, keys, now=now)
    return [_row(key, usage[key.pk], request, now) for key in keys]


def _row(key: ApiKey, usage: KeyUsage, request: OrganizationRequest, now: dt.datetime) -> KeyRow:
    by_reset = {"daily": usage.day_nanos, "weekly": usage.week_nanos, "monthly": usage.month_nanos}
    in_period = by_reset.get(key.limit_reset, usage.spent_nanos)
    is_used_up = key.limit_nanos is not None and in_period >= key.limit_nanos
    share = _PERMILLE if is_used_up else in_period * _PERMILLE // key.limit_nanos if key.limit_nanos else 0
    return KeyRow(
        key=key,
        spent_nanos=usage.spent_nanos,
        limit_spent_nanos=in_period,
        limit_permille=share,
        is_used_up=is_used_up,
        is_expired=key.expires_at is not None and key.expires_at <= now,
        may_manage=_may_manage(request, key),
    )


def _may_manage(request: OrganizationRequest, key: ApiKey) -> bool:
    # What accounts.permissions decides again on every write; here only to leave out buttons that would be refused.
    is_own = key.created_by_id == request.user.pk and not key.is_management
    return "keys.manage" in permissions.ACTIONS_BY_ROLE[request.membership.role] or is_own


def _find(organization: Organization, key_hash: str) -> ApiKey:
    key = account_queries.api_key(organization, key_hash)
    if key is None:
        raise Http404
    return key


def _answer(request: HttpRequest, name: str, context: dict[str, Any], *, status: int = 200) -> HttpResponse:
    template = f"pages/keys/_{name}.html" if is_htmx(request) else f"pages/keys/{name}.html"
    return render(request, template, {"section": "keys", "in_drawer": is_htmx(request), **context}, status=status)


def _done(request: HttpRequest) -> HttpResponse:
    if not is_htmx(request):
        return redirect("keys")
    return HttpResponse(headers={"HX-Trigger": '{"keys-changed": null, "drawer-close": null}', "HX-Reswap": "none"})


@never_cache
@require_safe
@organization_required
def list_keys(request: OrganizationRequest) -> HttpResponse:
    """Show all keys."""
    return render(request, "pages/keys/index.html", {"section": "keys", "keys": key_rows(request, now=timezone.now())})


@never_cache
@require_safe
@organization_required
def keys_table(request: OrganizationRequest) -> HttpResponse:
    """Show the table alone."""
    return render(request, "pages/keys/_table.html", {"keys": key_rows(request, now=timezone.now())})


@never_cache
@require_http_methods(["GET", "POST"])
@organization_required
def create_key(request: OrganizationRequest) -> HttpResponse:
    """Make a key and show its secret: in this answer and never again."""
    form = NewKeyForm(request.POST or None)
    if request.membership.role == Role.MEMBER:
        del form.fields["kind"]
    if request.method == "POST" and form.is_valid():
        try:
            key, secret = api_keys.create(
                organization=request.organization,
                by=request.user,
                name=form.cleaned_data["name"],
                is_management=form.cleaned_data.get("kind") == "management",
                limit_nanos=form.cleaned_data["limit"],
                limit_reset=form.cleaned_data["limit_reset"],
                expires_at=end_of_day(form.cleaned_data["expires_on"]),
            )
        except BadKeyField as bad:
            form.add_error(_FORM_FIELD_OF.get(bad.field, bad.field), str(bad))
        except NotPermitted as refused:
            raise PermissionDenied from refused
        else:
            response = _answer(
                request, "created", {"key": key, "secret": secret, "snippets": snippets(secret, is_management=key.is_management)}
            )
            response["HX-Trigger"] = "keys-changed"
            return response
    return _answer(request, "form", {"form": form, "action": reverse("create_key")}, status=422 if form.errors else 200)


@never_cache
@require_http_methods(["GET", "POST"])
@organization_required
def edit_key(request: OrganizationRequest, key_hash: str) -> HttpResponse:
    """Change a key's name, limit or expiry."""
    key = _find(request.organization, key_hash)
    form = KeyForm(request.POST or None, initial=initial_of(key))
    if request.method == "POST" and form.is_valid():
        # The form knows days only: an expiry that was set to the minute through the API survives a change of the name.
        changes: KeyChanges = {
            "name": form.cleaned_data["name"],
            "limit_nanos": form.cleaned_data["limit"],
            "limit_reset": form.cleaned_data["limit_reset"],
        }
        if "expires_on" in form.changed_data:
            changes["expires_at"] = end_of_day(form.cleaned_data["expires_on"])
        try:
            api_keys.update(api_key=key, by=request.user, **changes)
        except BadKeyField as bad:
            form.add_error(_FORM_FIELD_OF.get(bad.field, bad.field), str(bad))
        except UnknownKey as gone:
            raise Http404 from gone
        except NotPermitted as refused:
            raise PermissionDenied from refused
        else:
            return _done(request)
    context = {"form": form, "key": key, "action": reverse("edit_key", args=[key.hash])}
    return _answer(request, "form", context, status=422 if form.errors else 200)


@require_POST
@organization_required
def switch_key(request: OrganizationRequest, key_hash: str) -> HttpResponse:
    """Disable or enable a key."""
    key = _find(request.organization, key_hash)
    try:
        api_keys.update(api_key=key, by=request.user, disabled=request.POST.get("disabled") == "1")
    except UnknownKey as gone:
        raise Http404 from gone
    except NotPermitted as refused:
        raise PermissionDenied from refused
    if not is_htmx(request):
        return redirect("keys")
    return render(request, "pages/keys/_table.html", {"keys": key_rows(request, now=timezone.now())})


@never_cache
@require_http_methods(["GET", "POST"])
@organization_required
def delete_key(request: OrganizationRequest, key_hash: str) -> HttpResponse:
    """Ask once, then revoke the key for ever."""
    key = _find(request.organization, key_hash)
    if request.method == "POST":
        try:
            api_keys.delete(api_key=key, by=request.user)
        except UnknownKey as gone:
            raise Http404 from gone
        except NotPermitted as refused:
            raise PermissionDenied from refused
        return _done(request)
    return _answer(request, "delete", {"key": key})
