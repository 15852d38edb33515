"""The operator's pages of load balancing: groups of providers, and each provider's keys with weights and limits. In force in seconds."""

from typing import Any, Final, NamedTuple

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from billing.proof.access import operator_of, operator_required
from catalog import queries
from catalog.balancing import STRATEGIES, BadBalance, Balance, KeyChange, balance_provider
from catalog.credentials import BadKey, UnknownProvider
from catalog.publication import BrokenCatalog

_STRATEGIES: Final = {
    "weighted": "By weight: drawn",
    "least_busy": "Least busy: the fewest requests on their way, by weight",
    "lowest_latency": "Lowest latency: whose first byte came soonest lately",
    "headroom": "Headroom: the most of its rate limit left",
}
_PERMISSION: Final = "catalog.change_provider"
_REFUSALS: Final = (BadBalance, BadKey, BrokenCatalog)


class SharingForm(forms.Form):
    """How a provider's requests are shared. An empty group is none."""

    strategy = forms.ChoiceField(choices=[(name, _STRATEGIES[name]) for name in STRATEGIES])
    group = forms.CharField(
        required=False,
        max_length=40,
        help_text="Where one of a group's providers is drawn, the strategy chooses among all of them, whatever their prices.",
    )
    cooldown_s = forms.IntegerField(
        label="Cooldown", min_value=0, max_value=3_600, help_text="Seconds that a key rests after a rate limit that does not say how long."
    )


class LimitsForm(forms.Form):
    """The share and the limits of a key. Limits are per minute at one endpoint; 0 is none."""

    weight = forms.IntegerField(min_value=1, max_value=1_000, initial=1)
    rpm = forms.IntegerField(label="Requests a minute", min_value=0, max_value=2_000_000_000, initial=0)
    tpm = forms.IntegerField(label="Tokens a minute", min_value=0, max_value=2_000_000_000, initial=0)


class KeyForm(LimitsForm):
    """A further key, or another secret for one that is there. Its secret is sealed and never shown."""

    weight = forms.IntegerField(
        required=False, min_value=1, max_value=1_000, help_text="1 unless you say so; the old one for a name that is there."
    )
    rpm = forms.IntegerField(label="Requests a minute", required=False, min_value=0, max_value=2_000_000_000)
    tpm = forms.IntegerField(label="Tokens a minute", required=False, min_value=0, max_value=2_000_000_000)

    name = forms.CharField(max_length=40, help_text="What you call it, such as second; set_provider's is main.")
    api_key = forms.CharField(
        label="Secret",
        max_length=20_000,
        widget=forms.PasswordInput(attrs={"autocomplete": "off"}),
        help_text="Sealed, and never shown again. The same name again puts it in the place of the old one, whose limits stay.",
    )
    field_order = ("name", "api_key", "weight", "rpm", "tpm")


class KeyRow(NamedTuple):
    """A key with the form that changes it."""

    name: str
    form: LimitsForm


@never_cache
@require_safe
@operator_required
def show_balancing(request: HttpRequest) -> HttpResponse:
    """Show the groups, then every provider."""
    providers = list(queries.providers_with_keys())
    groups: dict[str, list[Any]] = {}
    for one in providers:
        if one.group:
            groups.setdefault(one.group, []).append(one)
    context = {"section": "operator", "groups": sorted(groups.items()), "providers": providers}
    return render(request, "pages/balancing/index.html", context)


@never_cache
@require_http_methods(["GET", "POST"])
@operator_required
def edit_balancing(request: HttpRequest, slug: str) -> HttpResponse:
    """Show how one provider's requests are shared; a POST changes the strategy and group, or adds or changes one key."""
    try:
        balance = balance_provider(slug=slug)
    except UnknownProvider as unknown:
        raise Http404 from unknown
    deed = request.POST.get("do", "")
    sharing = SharingForm(
        request.POST if deed == "share" else None,
        initial={"strategy": balance.strategy, "group": balance.group, "cooldown_s": balance.cooldown_s},
    )
    new_key = KeyForm(request.POST if deed == "add" else None, auto_id="id_new_%s")
    keys = _key_rows(request, balance, deed)
    if request.method == "POST":
        _require_permission(request)
        if _change(request, slug, deed, (sharing, new_key, keys)):
            return redirect("operator_balancing_of", slug)
    is_wrong = any(form.errors for form in (sharing, new_key, *(row.form for row in keys)))
    context = {"section": "operator", "slug": slug, "sharing": sharing, "new_key": new_key, "keys": keys}
    return render(request, "pages/balancing/provider.html", context, status=422 if is_wrong else 200)


def _key_rows(request: HttpRequest, balance: Balance, deed: str) -> list[KeyRow]:
    changed = request.POST.get("key") if deed == "limit" else None
    return [
        KeyRow(
            one.name,
            LimitsForm(
                request.POST if one.name == changed else None,
                initial={"weight": one.weight, "rpm": one.rpm_limit, "tpm": one.tpm_limit},
                auto_id=f"id_{place}_%s",
            ),
        )
        for place, one in enumerate(balance.keys)
    ]


def _change(request: HttpRequest, slug: str, deed: str, forms_at_hand: tuple[SharingForm, KeyForm, list[KeyRow]]) -> bool:
    """Do what was asked, or put what is wrong at its form."""
    sharing, new_key, keys = forms_at_hand
    name = request.POST.get("key", "")
    found: dict[str, forms.Form | None] = {
        "share": sharing,
        "add": new_key,
        "limit": next((row.form for row in keys if row.name == name), None),
    }
    form = found.get(deed)
    if form is None:
        raise Http404
    if not form.is_valid():
        return False
    given = form.cleaned_data
    changes: dict[str, Any] = given
    if deed != "share":
        changes = {
            "key": KeyChange(
                name=given.get("name", name),
                api_key=given.get("api_key"),
                weight=given["weight"],
                rpm_limit=given["rpm"],
                tpm_limit=given["tpm"],
            )
        }
    try:
        balance_provider(slug=slug, by=operator_of(request), **changes)
    except _REFUSALS as error:
        form.add_error(None, f"{str(error)[:1].upper()}{str(error)[1:]}.")
        return False
    return True


@never_cache
@require_http_methods(["GET", "POST"])
@operator_required
def remove_key(request: HttpRequest, slug: str, name: str) -> HttpResponse:
    """Ask once, then take a key away: nobody can bring its secret back."""
    _require_permission(request)
    if request.method == "GET":
        return render(request, "pages/balancing/remove.html", {"section": "operator", "slug": slug, "name": name})
    try:
        balance_provider(slug=slug, by=operator_of(request), key=KeyChange(name=name, is_removed=True))
    except UnknownProvider as unknown:
        raise Http404 from unknown
    except _REFUSALS as error:
        messages.error(request, str(error))
    return redirect("operator_balancing_of", slug)


def _require_permission(request: HttpRequest) -> None:
    operator = operator_of(request)
    if operator is None or not operator.has_perm(_PERMISSION):
        raise PermissionDenied
