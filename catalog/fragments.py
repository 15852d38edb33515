"""Pieces of pages that are the same for everybody, rendered once: answers per question and published catalog, rows for as long as they
say the same, so that a new search or a new publication renders only what no page has shown yet.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from django.template.loader import render_to_string
from django.utils.safestring import SafeString

from catalog.showcase import ModelRow
from catalog.types import Snapshot

_KEPT: Final = 128  # a list of fifty models is 60 kB


class _Pieces(NamedTuple):
    """Pieces of one catalog. In one object, so that no thread sees a piece of another catalog."""

    of: Snapshot | None
    by_key: dict[object, SafeString]


class _Rendered:
    """The pieces of the catalog in force."""

    pieces = _Pieces(None, {})
    # (id, is comparable) → the row that was rendered, and how. As many as there are models, twice.
    rows: dict[tuple[str, bool], tuple[ModelRow, SafeString]] = {}  # noqa: RUF012 -- one cache per process


def render_row(row: ModelRow, *, is_comparable: bool) -> SafeString:
    """Return a model's row of a table; ``is_comparable`` ends it with a box to tick."""
    key = (row.model.id, is_comparable)
    rendered = _Rendered.rows.get(key)
    if rendered is None or (rendered[0] is not row and rendered[0] != row):
        html = render_to_string("catalog/_model_row.html", {"row": row, "is_comparable": is_comparable})
        rendered = _Rendered.rows[key] = (row, html)
    return rendered[1]


def render_once(template: str, context: Mapping[str, Any], *, snapshot: Snapshot | None, key: object) -> SafeString:
    """Return ``template`` with ``context``. ``key`` must tell apart whatever the context may hold, the snapshot excepted.

    Nothing of the visitor may be in the context: the next one gets the same piece.
    """
    pieces = _Rendered.pieces
    if pieces.of is not snapshot or len(pieces.by_key) >= _KEPT:
        pieces = _Rendered.pieces = _Pieces(snapshot, {})
    known = (template, key)
    piece = pieces.by_key.get(known)
    if piece is None:
        piece = pieces.by_key[known] = render_to_string(template, dict(context))
    return piece
