"""The list of models as a page: what its address asks for, and its two pieces, which are the same for everybody."""

from typing import Any, Final

from django.core.paginator import Paginator
from django.http import QueryDict
from django.utils.safestring import SafeString

from catalog import showcase
from catalog.fragments import render_once
from catalog.page_filters import NO_FILTERS, choices, read_filters
from catalog.showcase import SORTS
from catalog.types import Snapshot

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


class _Shown:
    """Whether this process has shown the list: one that serves programs alone need not be ready for people."""

    once = False


def read_list(snapshot: Snapshot | None, query: QueryDict) -> dict[str, Any]:
    """Return what the list's templates need for a query; search, type, order and page are in it."""
    search = query.get("q", "").strip()[:100]
    model_type = query.get("type", "")
    asked = query.get("sort", "")
    sort = asked if asked in SORTS else "newest"
    chosen = read_filters(query)
    rows = showcase.model_rows(snapshot, search=search, model_type=model_type, sort=sort, filters=chosen)
    filters = query.copy()
    filters.pop("page", None)
    return {
        "section": "models",
        "page": Paginator(rows, _PAGE_SIZE).get_page(query.get("page")),
        "search": search,
        "model_type": model_type,
        "sort": sort,
        "types": _TYPES,
        "sorts": _SORT_WORDS.items(),
        "filters": filters.urlencode(),
        "chosen": chosen,
        "is_filtered": chosen != NO_FILTERS,
        "model_count": len(snapshot.models) if snapshot else 0,
        "provider_count": len(snapshot.providers) if snapshot else 0,
        "published_at": snapshot.published_at if snapshot else None,
    }


def render_results(snapshot: Snapshot | None, context: dict[str, Any]) -> SafeString:
    """Return the models found, as ``read_list`` describes them."""
    _Shown.once = True
    return render_once("catalog/_results.html", context, snapshot=snapshot, key=(context["filters"], context["page"].number))


def render_filters(snapshot: Snapshot | None, context: dict[str, Any]) -> SafeString:
    """Return the filters with what is chosen."""
    form = {"choices": choices(snapshot), "chosen": context["chosen"], "is_filtered": context["is_filtered"]}
    return render_once("catalog/_filters.html", form, snapshot=snapshot, key=context["chosen"])


def prepare(snapshot: Snapshot) -> None:
    """Make ready for a catalog that has come into force: where the list is shown, its first visitor waits for nothing."""
    showcase.take(snapshot)
    if _Shown.once:
        context = read_list(snapshot, QueryDict())
        render_results(snapshot, context)
        render_filters(snapshot, context)
