"""The forms of policies and presets. What they hold is JSON as the API takes it; mistakes are named at the field."""

from typing import Any, Final

import msgspec
from django import forms

from accounts.models import RequestPreset, RequestPresetVersion
from accounts.presets import CONFIG_MAX_BYTES, DESCRIPTION_MAX, NAME_MAX, SYSTEM_PROMPT_MAX
from gateway.dialects.base import InvalidRequest, Json
from gateway.dialects.chat_completions import parse_json
from gateway.dialects.client_registry import CLIENT_DIALECTS
from gateway.policy_trials import checked_policy
from gateway.relay.errors import ApiError
from gateway.relay.preferences import read_preferences
from gateway.relay.presets import config_of

_MONO: Final = {"spellcheck": "false", "class": "mono", "autocomplete": "off"}
_CHAT: Final = next(dialect for dialect in CLIENT_DIALECTS.values() if dialect.api == "chat")
#: What a new policy may begin with: word → (label, provider object).
STARTS: Final[dict[str, tuple[str, Json]]] = {
    "private": ("Nothing kept, nothing trained on", {"data_collection": "deny", "zdr": True}),
    "cheap": ("Always the cheapest", {"sort": "price"}),
    "thrifty": ("The lowest expected cost", {"sort": "expected_cost"}),
    "quick": ("Quick, and hedged", {"sort": "latency", "hedge": True}),
    "capped": ("A ceiling on prices", {"max_price": {"prompt": 3, "completion": 15}}),
}
_PRESET_START: Final[Json] = {"temperature": 0.3, "max_tokens": 500}


class JsonField(forms.CharField):
    """A JSON object as people write it, cleaned to the object."""

    def to_python(self, value: Any) -> Any:
        """Return the object; {} when left empty."""
        text = str(super().to_python(value) or "")
        if not text.strip():
            return {}
        if len(text) > 2 * CONFIG_MAX_BYTES:  # with room for how people lay it out; what is kept is measured when it is saved
            raise forms.ValidationError(f"Write at most {CONFIG_MAX_BYTES:,} characters.")
        try:
            found = parse_json(text.encode())
        except InvalidRequest as error:
            raise forms.ValidationError(error.message.replace("The body", "This")) from None
        if not isinstance(found, dict):
            raise forms.ValidationError('Write a JSON object, such as {"sort": "price"}.')
        return found


class PolicyForm(forms.Form):
    """The ``provider`` object of a policy. ``cleaned_data["config"]`` is checked as a request's is, and its providers are known."""

    config = JsonField(
        label="Provider preferences",
        strip=False,
        widget=forms.Textarea(attrs={"rows": 10, **_MONO}),
        help_text="A request's provider object, as JSON: only, ignore, order, sort, max_price, data_collection, zdr, hedge and the rest.",
    )

    def clean_config(self) -> Json:
        """Refuse what no request could be made with."""
        try:
            return checked_policy(self.cleaned_data["config"])
        except ApiError as error:
            raise forms.ValidationError(f"{error.message}. {error.remedy}".rstrip(". ") + ".") from None

    @property
    def system_prompt(self) -> str:
        """A policy has none."""
        return ""


class PresetForm(forms.Form):
    """The settings of a preset, and its system prompt."""

    config = JsonField(
        label="Settings",
        required=False,
        strip=False,
        widget=forms.Textarea(attrs={"rows": 10, **_MONO}),
        help_text="Fields of a chat completions request, as JSON: model, temperature, max_tokens, tools, provider and the rest.",
    )
    prompt = forms.CharField(
        label="System prompt",
        required=False,
        max_length=SYSTEM_PROMPT_MAX,
        strip=False,
        widget=forms.Textarea(attrs={"rows": 6}),
        help_text="Used where the request has none of its own.",
    )

    def clean_config(self) -> Json:
        """Keep what a preset keeps; refuse what no request could have."""
        try:
            config, _ = config_of(_CHAT, msgspec.json.encode(self.cleaned_data["config"]), "chat")
            read_preferences(config.get("provider") or {})
        except InvalidRequest as error:
            raise forms.ValidationError(error.message) from None
        except ApiError as error:
            raise forms.ValidationError(f"{error.message}.") from None
        return config

    def clean(self) -> dict[str, Any]:
        """Refuse a preset that says nothing."""
        cleaned: dict[str, Any] = super().clean() or {}
        if not self.errors and not cleaned.get("config") and not self.system_prompt:
            raise forms.ValidationError("Write a setting or a system prompt: a preset without either changes nothing.")
        return cleaned

    @property
    def system_prompt(self) -> str:
        """What is put in front of conversations that have no orders of their own."""
        return str(self.cleaned_data.get("prompt") or "").strip()


class _Named(forms.Form):
    slug = forms.SlugField(
        label="Slug",
        max_length=64,
        help_text="Lower case, such as eu-only: what requests name it by. It stays as it is.",
        error_messages={"invalid": "Use a-z, 0-9, '_' and '-'."},
    )
    name = forms.CharField(label="Name", required=False, max_length=NAME_MAX, help_text="For people; the slug where it is left empty.")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in ("slug", "name"):
            self.fields[name].widget.attrs.update({"autocomplete": "off"})


class NewPolicyForm(_Named, PolicyForm):
    """A policy that is not there yet."""


class NewPresetForm(_Named, PresetForm):
    """A preset that is not there yet."""


class WordsForm(forms.Form):
    """What people call it."""

    name = forms.CharField(max_length=NAME_MAX)
    description = forms.CharField(
        required=False, max_length=DESCRIPTION_MAX, widget=forms.Textarea(attrs={"rows": 2}), help_text="What it is for."
    )


def form_class(kind: str, *, is_new: bool) -> type[PolicyForm] | type[PresetForm]:
    """Return the form for a policy or a preset."""
    if kind == RequestPreset.Kind.POLICY:
        return NewPolicyForm if is_new else PolicyForm
    return NewPresetForm if is_new else PresetForm


def start_of(kind: str, word: str) -> dict[str, str]:
    """Return what an empty form begins with."""
    config = STARTS.get(word, ("", {"sort": "price"}))[1] if kind == RequestPreset.Kind.POLICY else _PRESET_START
    return {"config": written(config), "slug": word if word in STARTS else ""}


def initial_of(version: RequestPresetVersion) -> dict[str, str]:
    """Return a stored version as the form shows it."""
    return {"config": written(version.config), "prompt": version.system_prompt}


def written(config: Json) -> str:
    """Return JSON as people read it."""
    return msgspec.json.format(msgspec.json.encode(config), indent=2).decode()
