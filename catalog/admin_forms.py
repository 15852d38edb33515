"""Forms of the operator's pages. Each shows what it would change first; the second submission, with the tick, does it."""

import datetime as dt
from decimal import Decimal
from typing import Any, Final

from django import forms

from catalog import markup_rules, price_changes
from catalog.cards import TOKEN_NAMES, BadPrice
from catalog.markup_rules import BadRule
from catalog.models import MarkupRule, PriceOverride
from catalog.sync.offers import picos_per_token

_PRICED: Final = tuple(TOKEN_NAMES)
_BASIS_POINTS_PER_PERCENT: Final = 100


class _ConfirmedForm(forms.ModelForm):  # type: ignore[type-arg]  # not subscriptable at run time
    confirmed = forms.BooleanField(required=False, label="Apply", help_text="Without this tick, saving shows what would change.")

    def ask(self, preview: str) -> None:
        """Stop at the preview unless the operator has seen it."""
        if not self.cleaned_data.get("confirmed"):
            self.add_error("confirmed", f"This would change {preview}. Tick 'Apply' and save again to do it.")


class MarkupRuleForm(_ConfirmedForm):
    """A markup rule, in percent and dollars."""

    scope = forms.ChoiceField(choices=MarkupRule.Scope.choices)
    percent = forms.DecimalField(min_value=Decimal(0), max_value=Decimal(1000), decimal_places=2)
    floor_usd = forms.DecimalField(
        required=False, min_value=Decimal(0), max_value=Decimal(100), decimal_places=6, label="Floor", help_text="$ per million tokens"
    )  # fmt: skip
    effective_from = forms.SplitDateTimeField(required=False, help_text="UTC; empty is now.")

    class Meta:
        model = MarkupRule
        fields = ("scope", "target", "effective_from", "effective_until", "note")

    def terms(self) -> dict[str, Any]:
        """Return what the domain calls take."""
        given = self.cleaned_data
        return {
            "scope": given["scope"],
            "target": given["target"],
            "basis_points": int(given["percent"] * _BASIS_POINTS_PER_PERCENT),
            "floor_picos": picos_per_token(given.get("floor_usd") or Decimal(0)) or 0,
        }

    def clean(self) -> dict[str, Any]:
        """Check the rule and show its preview."""
        given: dict[str, Any] = super().clean() or {}
        if not self.errors:
            try:
                self.ask(str(markup_rules.preview(**self.terms(), at=given.get("effective_from"))))
            except BadRule as error:
                raise forms.ValidationError(str(error)) from error
        return given


class PriceOverrideForm(_ConfirmedForm):
    """What a provider charges us for tokens, in dollars per million; empty fields stay as they are."""

    day = forms.DateField(required=False, label="From", help_text="A day in the future, from 0:00 UTC; empty is now.")

    class Meta:
        model = PriceOverride
        fields = ("endpoint",)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in _PRICED:
            self.fields[name] = forms.DecimalField(
                required=False, min_value=Decimal(0), label=name.replace("_", " "), help_text="$ / M tokens"
            )

    def prices(self) -> dict[str, str]:
        """Return the prices that were given, as exact decimal text."""
        return {name: format(self.cleaned_data[name], "f") for name in _PRICED if self.cleaned_data.get(name) is not None}

    def clean(self) -> dict[str, Any]:
        """Check the price and show what it becomes."""
        given: dict[str, Any] = super().clean() or {}
        endpoint, day = given.get("endpoint"), given.get("day")
        if not self.errors and endpoint is not None:
            try:
                price_changes.plan(endpoint=endpoint, usd_per_million=self.prices(), day=day)
            except BadPrice as error:
                raise forms.ValidationError(str(error)) from error
            when = f" from {day:%Y-%m-%d}" if isinstance(day, dt.date) else " now"
            self.ask(f"{endpoint}{when}: {', '.join(f'{name} ${usd}' for name, usd in self.prices().items())}")
        return given
