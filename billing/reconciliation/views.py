"""The operator's page of bills beside the books."""

from typing import Any, Final

from django import forms
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from billing.proof.access import operator_of, operator_required
from billing.purchases import stripe_api
from billing.reconciliation import bills, provider_apis, providers, queries, stripe_balance, suspense
from billing.reconciliation.bills import PRESETS, BadBill, ColumnMap

_CSV_MAX_BYTES: Final = 20_000_000
_OWN: Final = "own"


class BillForm(forms.Form):
    """A provider's export or invoice as CSV."""

    provider = forms.SlugField(max_length=100, help_text="Its slug in the catalog, such as openai.")
    file = forms.FileField(label="CSV file", help_text="Up to 20 MB.")
    preset = forms.ChoiceField(
        label="Columns", choices=[*((name, f"As {name} exports them") for name in PRESETS), (_OWN, "Named below")], initial="openai"
    )
    day = forms.CharField(required=False, max_length=100, label="Column of the day")
    model = forms.CharField(required=False, max_length=100, label="Column of the model")
    amount = forms.CharField(required=False, max_length=100, label="Column of the dollars")

    def clean(self) -> dict[str, Any]:
        """Need every column by name when they are named here."""
        given: dict[str, Any] = super().clean() or self.cleaned_data
        if given.get("preset") == _OWN:
            for name in ("day", "model", "amount"):
                if not given.get(name):
                    self.add_error(name, "Name the column, as it stands in the first line of the file.")
        if (file := given.get("file")) is not None and file.size > _CSV_MAX_BYTES:
            self.add_error("file", "The file is larger than 20 MB; send it in parts.")
        return given

    def columns(self) -> ColumnMap:
        """Return the map that was chosen."""
        given = self.cleaned_data
        if given["preset"] == _OWN:
            return ColumnMap((given["day"],), (given["model"],), (given["amount"],))
        return PRESETS[given["preset"]]


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@operator_required
def show_reconciliation(request: HttpRequest) -> HttpResponse:
    """Show what was compared; a CSV that is sent here is compared at once."""
    form = BillForm(request.POST or None, request.FILES or None)
    if request.method == "POST" and form.is_valid():
        try:
            text = form.cleaned_data["file"].read().decode("utf-8-sig")
            charges = bills.read_csv(text, form.columns())
            provider = form.cleaned_data["provider"]
            made = providers.reconcile_charges(provider=provider, charges=charges, way="csv", by=operator_of(request))
        except (BadBill, UnicodeDecodeError) as error:
            form.add_error("file", str(error) if isinstance(error, BadBill) else "The file is not UTF-8 text.")
        else:
            messages.success(request, f"{made.line_count} lines of {provider} compared, {made.off_count} off.")
            return redirect(f"{request.path}?source={provider}")
    source = request.GET.get("source", "")[:100]
    context = {
        "section": "operator",
        "sources": queries.sources(),
        "items": queries.open_items(),
        "source": source,
        "lines": queries.lines(source=source) if source else [],
        "plot": queries.drift_plot(),
        "form": form,
    }
    return render(request, "billing/operator/reconciliation.html", context, status=400 if form.errors else 200)


@require_POST
@operator_required
def compare_now(request: HttpRequest) -> HttpResponse:
    """Ask Stripe or a provider now and compare."""
    source = request.POST.get("source", "")[:100]
    try:
        if source == suspense.STRIPE:
            made = stripe_balance.reconcile(by=operator_of(request))
        else:
            made = providers.reconcile_by_api(provider=source, by=operator_of(request))
    except (provider_apis.NoCredential, provider_apis.BillUnavailable, BadBill) as error:
        messages.error(request, str(error))
    except (stripe_api.StripeDown, stripe_api.StripeRefused, stripe_api.NotConfigured) as error:
        messages.error(request, f"Stripe: {error}")
    else:
        messages.success(request, f"{made.line_count} lines of {source} compared, {made.off_count} off.")
    return redirect("operator_reconciliation")


@require_POST
@operator_required
def accept_item(request: HttpRequest, item_id: int) -> HttpResponse:
    """Take what a provider bills into the books."""
    operator = operator_of(request)
    if operator is None:
        raise Http404
    try:
        item = suspense.accept(item_id=item_id, by=operator)
    except suspense.NothingOpen:
        messages.info(request, "Nothing is open under this number.")
    else:
        messages.success(request, f"The books follow the bill of {item.source} for {item.subject}.")
    return redirect("operator_reconciliation")
