"""Public pages of models and their prices."""

from typing import Any, Final

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_safe

from catalog import calculator, comparison_page, list_page, live_board, markup_rules, price_plot, showcase, sitemap, snippets
from catalog.endpoint_orders import OPERATOR_ORDERS, ORDERS, sort_rows
from catalog.page_filters import NO_FILTERS
from catalog.types import ModelSpec, Snapshot

_COMPARED_MAX: Final = 4
# What a page asks for by itself → its template.
_MODEL_PIECES: Final = {"quote": "catalog/_quote.html", "endpoints": "catalog/_endpoints.html"}


@require_safe
def list_models(request: HttpRequest) -> HttpResponse:
    """Show the models; search, type, order and page are in the address."""
    snapshot = showcase.published()
    context = list_page.read_list(snapshot, request.GET)
    results = list_page.render_results(snapshot, context)
    # A boosted or restored page is a whole page; only the filter bar asks for the results alone.
    if request.headers.get("HX-Target") == "results" and "HX-History-Restore-Request" not in request.headers:
        response = HttpResponse(results)
    else:
        pieces = {"results": results, "filter_form": list_page.render_filters(snapshot, context)}
        response = render(request, "catalog/models.html", context | pieces)
    response["Vary"] = ", ".join(filter(None, [response.get("Vary"), "HX-Target"]))
    return response


@require_safe
def show_model(request: HttpRequest, model_id: str) -> HttpResponse:
    """Show a model with its endpoints and prices; other names of a model lead to its own."""
    snapshot = showcase.published()
    if snapshot is None:
        raise Http404
    model = snapshot.models.get(model_id)
    if model is None:
        if model_id in snapshot.aliases:
            return redirect("model", model_id=snapshot.aliases[model_id])
        raise Http404
    context = {
        "section": "models",
        "model": model,
        **_endpoint_table(request, snapshot, model),
        "is_served": bool(showcase.served_endpoints(snapshot, model)),
        "published_at": snapshot.published_at,
        "history_url": reverse("api_price_history", args=model.id.split("/", 1)),
        "plot": price_plot.draw(snapshot, model),
        "quote": calculator.quote(snapshot, model, calculator.read_workload(request.GET)),
        "similar": showcase.similar_models(snapshot, model),
        "snippets": snippets.for_model(model.id) if model.type == "chat" else (),
    }
    target = "" if "HX-History-Restore-Request" in request.headers else request.headers.get("HX-Target", "")
    response = render(request, _MODEL_PIECES.get(target, "catalog/model.html"), context)
    response["Vary"] = ", ".join(filter(None, [response.get("Vary"), "HX-Target"]))
    return response


def _endpoint_table(request: HttpRequest, snapshot: Snapshot, model: ModelSpec) -> dict[str, Any]:
    """Return the model's endpoints in the order that the address asks for; margins are for those who run the service."""
    orders = OPERATOR_ORDERS if request.user.is_staff else ORDERS
    asked = request.GET.get("order", "")
    order = asked if asked in orders else "price"
    rows = sort_rows(showcase.endpoint_rows(snapshot, model, live_board.read_board()), orders[order])
    return {
        "endpoints": rows,
        "measured": [row for row in rows if row.measured is not None],
        "is_operator": request.user.is_staff,
        "orders": orders,
        "order": order,
        "column": orders[order].column,
        "direction": "descending" if orders[order].is_descending else "ascending",
    }


@require_safe
def compare_models(request: HttpRequest) -> HttpResponse:
    """Show up to four models side by side; which ones is in the address."""
    snapshot = showcase.published()
    if snapshot is None:
        raise Http404
    names = list(dict.fromkeys(snapshot.aliases.get(name, name) for name in request.GET.getlist("m")))
    models = [snapshot.models[name] for name in names if name in snapshot.models][:_COMPARED_MAX]
    context = {"section": "models", "columns": comparison_page.columns(snapshot, models), "facts": comparison_page.facts(snapshot, models)}
    return render(request, "catalog/compare.html", context)


@require_safe
def show_provider(request: HttpRequest, slug: str) -> HttpResponse:
    """Show a provider: where it is, what it does with data, what it serves."""
    snapshot = showcase.published()
    provider = snapshot.providers.get(slug) if snapshot else None
    if snapshot is None or provider is None:
        raise Http404
    rows = showcase.model_rows(snapshot, filters=NO_FILTERS._replace(provider=slug))
    return render(request, "catalog/provider.html", {"section": "models", "provider": provider, "rows": rows})


@require_safe
def list_pages(request: HttpRequest) -> HttpResponse:
    """Show the sitemap, with the addresses of PUBLIC_URL under whatever name the crawler asked."""
    snapshot = showcase.published()
    context = {"paths": sitemap.public_paths(snapshot), "published_at": snapshot.published_at if snapshot else None}
    return render(request, "catalog/sitemap.xml", context, content_type="application/xml")


@require_safe
def explain_pricing(request: HttpRequest) -> HttpResponse:
    """Show what a request costs and why, with a worked example at today's prices."""
    snapshot = showcase.published()
    organization = getattr(request, "organization", None)
    context = {
        "section": "pricing",
        "example": calculator.worked_example(snapshot),
        "markup": markup_rules.public_terms(),
        "own": markup_rules.terms_of(organization) if organization else None,
    }
    return render(request, "catalog/pricing.html", context)
