"""The form of a key. It reads dollars, so it lives above both accounts (keys) and billing (money)."""

import datetime as dt
from typing import Any

from django import forms
from django.utils import timezone

from accounts.api_keys import LIMIT_MAX_NANOS, NAME_MAX
from accounts.models import ApiKey
from billing.money import NotAnAmount, nanos_as_typed, usd_text

_RESETS = [("", "Never"), ("daily", "Every day"), ("weekly", "Every Monday"), ("monthly", "Every month")]
_KINDS = [("models", "Call models"), ("management", "Manage keys and read credits; it cannot call models")]


class UsdField(forms.CharField):
    """Dollars as people type them ('$1,000.50'), cleaned to nanos; None when left empty."""

    def to_python(self, value: Any) -> Any:
        """Return nanos (1e-9 USD)."""
        text = str(super().to_python(value) or "").strip()
        if not text:
            return None
        try:
            nanos = nanos_as_typed(text)
        except NotAnAmount:
            raise forms.ValidationError("Write an amount of dollars, such as 25 or 0.50, with a point before the cents.") from None
        if not 0 <= nanos <= LIMIT_MAX_NANOS:
            raise forms.ValidationError("A limit is zero dollars or more.")
        return nanos


class KeyForm(forms.Form):
    """What a person chooses about a key. ``cleaned_data`` has ``limit`` in nanos and ``expires_on`` as a UTC date."""

    name = forms.CharField(max_length=NAME_MAX, help_text="What will use it, such as “website” or “nightly summaries”.")
    limit = UsdField(required=False, help_text="The key stops when it has spent this much.")
    limit_reset = forms.ChoiceField(label="Limit starts anew", choices=_RESETS, required=False, help_text="At midnight UTC.")
    expires_on = forms.DateField(
        label="Expires after",
        required=False,
        widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
        help_text="The end of that day, UTC.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["limit"].widget.attrs.update({"inputmode": "decimal", "placeholder": "No limit"})
        self.fields["name"].widget.attrs.update({"autocomplete": "off"})

    def clean_expires_on(self) -> dt.date | None:
        """Refuse days that are over."""
        day: dt.date | None = self.cleaned_data["expires_on"]
        if day is not None and day < timezone.now().date() and "expires_on" in self.changed_data:
            raise forms.ValidationError("This day is over. Choose today or a later one.")
        return day


class NewKeyForm(KeyForm):
    """The same, and what the key is for: chosen once."""

    kind = forms.ChoiceField(label="Use", choices=_KINDS, widget=forms.RadioSelect, initial="models", required=False)


def initial_of(api_key: ApiKey) -> dict[str, Any]:
    """Return a stored key as the form shows it."""
    return {
        "name": api_key.name,
        "limit": "" if api_key.limit_nanos is None else usd_text(api_key.limit_nanos),
        "limit_reset": api_key.limit_reset,
        "expires_on": None if api_key.expires_at is None else api_key.expires_at.astimezone(dt.UTC).date(),
    }


def end_of_day(day: dt.date | None) -> dt.datetime | None:
    """Return the first moment after a UTC day."""
    return None if day is None else dt.datetime.combine(day, dt.time.min, tzinfo=dt.UTC) + dt.timedelta(days=1)
