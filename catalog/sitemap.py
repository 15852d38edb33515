"""The public pages for search engines."""

from typing import Final

from django.urls import reverse

from catalog.types import Snapshot

_FIXED: Final = ("landing", "models", "pricing")


def public_paths(snapshot: Snapshot | None) -> list[str]:
    """Return the paths of all pages worth finding: the fixed ones, then each model's and each provider's of the catalog."""
    paths = [reverse(name) for name in _FIXED]
    if snapshot is not None:
        paths += [reverse("model", args=[model_id]) for model_id in snapshot.models]
        paths += [reverse("provider", args=[slug]) for slug in snapshot.providers]
    return paths
