"""Public pages of models and their prices."""

from typing import Final

from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_safe

from catalog import showcase
from catalog.showcase import SORTS

_PAGE_SIZE: Final = 50
_TYPES: Final = (
    ("", "All types"), ("chat", "Chat"), ("embedding", "Embedding"), ("image", "Image"), ("speech", "Speech"),
    ("transcription", "Transcription"), ("rerank", "Rerank"),
)  # fmt: skip
_SORT_WORDS: Final = {
    "newest": "Newest",
    "name": "Name",
    "input": "Cheapest input",
    "output": "Cheapest output",
    "context": "Longest context",
}


@require_safe
def list_models(request: HttpRequest) -> HttpResponse:
    """Show the models; search, type, order and page are in the address."""
    search = request.GET.get("q", "").strip()[:100]
    model_type = request.GET.get("type", "")
    asked = request.GET.get("sort", "")
    sort = asked if asked in SORTS else "newest"
    snapshot = showcase.published()
    rows = showcase.model_rows(snapshot, search=search, model_type=model_type, sort=sort)
    filters = request.GET.copy()
    filters.pop("page", None)
    context = {
        "section": "models",
        "page": Paginator(rows, _PAGE_SIZE).get_page(request.GET.get("page")),
        "search": search,
        "model_type": model_type,
        "sort": sort,
        "types": _TYPES,
        "sorts": _SORT_WORDS.items(),
        "filters": filters.urlencode(),
        "model_count": len(snapshot.models) if snapshot else 0,
        "provider_count": len(snapshot.providers) if snapshot else 0,
        "published_at": snapshot.published_at if snapshot else None,
    }
    # A boosted or restored page is a whole page; only the filter bar asks for the results alone.
    is_results = request.headers.get("HX-Target") == "results" and "HX-History-Restore-Request" not in request.headers
    response = render(request, "catalog/_results.html" if is_results else "catalog/models.html", context)
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
        "endpoints": showcase.endpoint_rows(snapshot, model),
        "is_served": bool(showcase.served_endpoints(snapshot, model)),
        "published_at": snapshot.published_at,
    }
    return render(request, "catalog/model.html", context)
