"""Routing policies and presets in the browser: list, make, change in versions, try on past requests, switch, delete.

Every address is scoped to the organization. Members see policies; owners and admins change them. Presets are everybody's.
"""

from typing import Any, Final, NamedTuple

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts import permissions, presets
from accounts import queries as account_queries
from accounts.middleware import OrganizationRequest, organization_required
from accounts.models import RequestPreset, RequestPresetVersion
from accounts.permissions import NotPermitted
from accounts.presets import BadPresetField, PresetChanges, UnknownPreset
from accounts.request_rules import Policy
from gateway.pages.rule_form import STARTS, PolicyForm, PresetForm, WordsForm, form_class, initial_of, start_of, written
from gateway.policy_trials import try_policy
from gateway.relay.errors import ApiError
from gateway.relay.explanation_shapes import Amount
from gateway.relay.simulation import SimulatedRequest, Simulation

_KINDS: Final = {"policies": RequestPreset.Kind.POLICY, "presets": RequestPreset.Kind.PRESET}
_ACTIONS: Final = {RequestPreset.Kind.POLICY: "policies.manage", RequestPreset.Kind.PRESET: "presets.manage"}
_VERSIONS_SHOWN: Final = 20
_USES: Final = {
    RequestPreset.Kind.POLICY: '"provider": {"policy": "SLUG"}',
    RequestPreset.Kind.PRESET: '"model": "@preset/SLUG"\n"model": "author/model@preset/SLUG"\n"preset": "SLUG"',
}


class VersionRow(NamedTuple):
    """A version as the page shows it."""

    version: RequestPresetVersion
    text: str
    is_in_force: bool

    @property
    def element_id(self) -> str:
        """The id of its code on the page."""
        return f"version-{self.version.number}"


class TrialRow(NamedTuple):
    """A request that would have gone elsewhere; amounts in nanos."""

    request: SimulatedRequest
    before_nanos: int
    after_nanos: int


@never_cache
@require_safe
@organization_required
def list_rules(request: OrganizationRequest) -> HttpResponse:
    """Show the organization's policies and presets; deleted ones at the end, from where they can be brought back."""
    lists = [_listed(request, word) for word in _KINDS]
    return render(request, "pages/rules/index.html", {"section": "requests", "lists": lists, "starts": STARTS})


def _listed(request: OrganizationRequest, word: str) -> dict[str, Any]:
    found = list(account_queries.request_presets(request.organization, _KINDS[word]))
    return {
        "word": word,
        "rules": [one for one in found if one.status != RequestPreset.Status.ARCHIVED],
        "deleted": [one for one in found if one.status == RequestPreset.Status.ARCHIVED],
        "may_change": _may_change(request, _KINDS[word]),
    }


@never_cache
@require_http_methods(["GET", "POST"])
@organization_required
def create_rule(request: OrganizationRequest, word: str) -> HttpResponse:
    """Make a policy or a preset; a policy can be tried on past requests before it is saved."""
    kind = _kind(word)
    if not _may_change(request, kind):
        raise PermissionDenied
    form = form_class(kind, is_new=True)(request.POST or None, initial=start_of(kind, request.GET.get("start", "")))
    context: dict[str, Any] = {"form": form, "word": word, "may_change": True}
    if request.method == "POST" and form.is_valid():
        if request.POST.get("do") == "try":
            context |= _trial(request, form)
        elif _save_new(request, kind, form):
            return redirect("rule", word, form.cleaned_data["slug"])
    return _answer(request, context)


def _save_new(request: OrganizationRequest, kind: str, form: PolicyForm | PresetForm) -> bool:
    slug = form.cleaned_data["slug"]
    known = account_queries.request_preset(request.organization, kind, slug)
    if known is not None:
        is_deleted = known.status == RequestPreset.Status.ARCHIVED
        message = "There is a deleted one of this name; bring it back." if is_deleted else "There is one of this name already."
        form.add_error("slug", message)
        return False
    return _save(request, kind, slug, form, name=form.cleaned_data["name"].strip())


def _save(request: OrganizationRequest, kind: str, slug: str, form: PolicyForm | PresetForm, *, name: str = "") -> bool:
    """Save a version; a mistake is put at its field and nothing is saved."""
    try:
        presets.save_version(
            organization=request.organization,
            kind=kind,
            slug=slug,
            config=form.cleaned_data["config"],
            system_prompt=form.system_prompt,
            name=name,
            by=request.user,
        )
    except BadPresetField as bad:
        form.add_error(bad.field if bad.field in form.fields else None, str(bad))
        return False
    except NotPermitted as refused:
        raise PermissionDenied from refused
    return True


@never_cache
@require_http_methods(["GET", "POST"])
@organization_required
def edit_rule(request: OrganizationRequest, word: str, slug: str) -> HttpResponse:
    """Show a policy or preset with its versions; a POST tries what the form has, or saves it as a new version."""
    rule = _find(request, word, slug)
    in_force = account_queries.designated_version(rule)
    form = form_class(rule.kind, is_new=False)(request.POST or None, initial=initial_of(in_force))
    context: dict[str, Any] = {"form": form, "word": word, "rule": rule, "may_change": _may_change(request, rule.kind)}
    if request.method == "POST" and form.is_valid():
        if request.POST.get("do") == "try":
            context |= _trial(request, form)
        elif _save(request, rule.kind, slug, form):
            return redirect("rule", word, slug)
    words_form = WordsForm(initial={"name": rule.name, "description": rule.description})
    return _answer(request, context | _surroundings(rule, words_form))


def _surroundings(rule: RequestPreset, words_form: WordsForm) -> dict[str, Any]:
    """Return what a rule's page shows beside its form."""
    versions = account_queries.preset_versions(rule).select_related("created_by")[:_VERSIONS_SHOWN]
    return {
        "use": _USES[RequestPreset.Kind(rule.kind)].replace("SLUG", rule.slug),
        "words_form": words_form,
        "versions": [VersionRow(one, written(one.config), one.number == rule.designated_number) for one in versions],
    }


@require_POST
@organization_required
def change_rule(request: OrganizationRequest, word: str, slug: str) -> HttpResponse:
    """Change what needs no new version: its words, whether it is on or the default, which version is in force."""
    rule = _find(request, word, slug)
    changes: PresetChanges = {}
    if "name" in request.POST:
        # Browsers send line breaks as two characters and count them as one.
        words = WordsForm({name: request.POST.get(name, "").replace("\r\n", "\n") for name in ("name", "description")})
        if not words.is_valid():
            return _show_words_again(request, word, rule, words)
        changes["name"], changes["description"] = words.cleaned_data["name"], words.cleaned_data["description"]
    if "status" in request.POST:
        changes["status"] = request.POST["status"]
    if "is_default" in request.POST:
        changes["is_default"] = request.POST["is_default"] == "1"
    if (number := request.POST.get("version", "")).isdecimal():
        changes["designated_number"] = int(number[:9])
    _change(request, rule, changes)
    return redirect("rules") if request.POST.get("next") == "rules" else redirect("rule", word, slug)


def _show_words_again(request: OrganizationRequest, word: str, rule: RequestPreset, words: WordsForm) -> HttpResponse:
    form = form_class(rule.kind, is_new=False)(initial=initial_of(account_queries.designated_version(rule)))
    context = {"form": form, "word": word, "rule": rule, "may_change": _may_change(request, rule.kind)}
    return _answer(request, context | _surroundings(rule, words))


@never_cache
@require_http_methods(["GET", "POST"])
@organization_required
def delete_rule(request: OrganizationRequest, word: str, slug: str) -> HttpResponse:
    """Ask once, then take it out of use. Its versions stay, and it can be brought back."""
    rule = _find(request, word, slug)
    if request.method == "POST":
        _change(request, rule, {"status": "archived"})
        return redirect("rules")
    return render(request, "pages/rules/delete.html", {"section": "requests", "rule": rule, "word": word})


def _change(request: OrganizationRequest, rule: RequestPreset, changes: PresetChanges) -> None:
    try:
        presets.change(preset=rule, by=request.user, **changes)
    except NotPermitted as refused:
        raise PermissionDenied from refused
    except UnknownPreset as gone:
        raise Http404 from gone
    except BadPresetField as bad:
        # Words are checked before; the rest is buttons, so only a request made by hand gets here.
        raise Http404(str(bad)) from bad


def _kind(word: str) -> str:
    kind = _KINDS.get(word)
    if kind is None:
        raise Http404
    return kind


def _find(request: OrganizationRequest, word: str, slug: str) -> RequestPreset:
    rule = None if "\0" in slug else account_queries.request_preset(request.organization, _kind(word), slug)
    if rule is None:
        raise Http404
    return rule


def _may_change(request: OrganizationRequest, kind: str) -> bool:
    # What accounts.permissions decides again on every write; here only to leave out what would be refused.
    return _ACTIONS[RequestPreset.Kind(kind)] in permissions.ACTIONS_BY_ROLE[request.membership.role]


def _trial(request: OrganizationRequest, form: PolicyForm | PresetForm) -> dict[str, Any]:
    """Return what the policy in the form would have done, for the page."""
    if not isinstance(form, PolicyForm):
        raise Http404
    try:
        trial = try_policy(request.organization, Policy(slug="draft", version=0, provider=form.cleaned_data["config"]))
    except ApiError as error:
        form.add_error(None, error.message)
        return {}
    return {"trial": trial, **_figures(trial)}


def _figures(trial: Simulation) -> dict[str, Any]:
    before, after = trial.providers_before, trial.providers_after
    return {
        "before_nanos": _nanos(trial.cost_before),
        "after_nanos": _nanos(trial.cost_after),
        "answered": trial.requests - trial.skipped - trial.refused,
        "providers": sorted(
            ((slug, before.get(slug, 0), after.get(slug, 0)) for slug in {*before, *after}), key=lambda row: (-row[2], -row[1], row[0])
        ),
        "samples": [TrialRow(one, _nanos(one.cost_before), _nanos(one.cost_after)) for one in trial.samples],
    }


def _nanos(amount: Amount) -> int:
    return int(amount.nanos)


def _answer(request: HttpRequest, context: dict[str, Any]) -> HttpResponse:
    word = context["word"]
    action = reverse("rule", args=[word, context["rule"].slug]) if "rule" in context else reverse("new_rule", args=[word])
    is_wrong = context["form"].errors or ("words_form" in context and context["words_form"].errors)
    status = 422 if is_wrong else 200
    return render(request, "pages/rules/editor.html", {"section": "requests", "action": action, **context}, status=status)
