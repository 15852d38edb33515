"""Families of models and their newest members: what ``~author/family-latest`` stands for. Pure.

A model belongs to the family that its name is without versions and dates: ``claude-sonnet-4.5`` and ``claude-3.7-sonnet`` to
``claude-sonnet``, ``gemini-2.5-flash`` to ``gemini-flash``. Whatever else a name says (mini, pro, preview, codex) makes another family.
"""

import re
from collections import Counter
from collections.abc import Iterable
from typing import Final

from catalog.listing import Router
from catalog.types import ModelSpec

LATEST_PREFIX: Final = "~"
# What auto_router.py answers to, as the list of models shows it.
ROUTER_ROWS: Final = (
    Router(
        id="tollway/auto",
        name="Auto router",
        description="Chooses a model by what the request needs, a band of price and how well endpoints do; its scoring is written down.",
        created_s=1_760_000_000,
        also=("openrouter/auto",),
    ),
    Router(
        id="tollway/free",
        name="Free router",
        description="Chooses at random among free models that can take the request.",
        created_s=1_760_000_000,
        is_free=True,
        also=("openrouter/free",),
    ),
)
# 5, 4.1, v3.2, 20250219, 001; the parts of 2024-11-20 one by one.
_VERSION: Final = re.compile(r"v?\d+(\.\d+)*")


def family_of(model_id: str) -> str:
    """Return ``author/family`` of a model, or '' for a variant (``:free``) and for a name that is nothing but versions."""
    author, _, slug = model_id.partition("/")
    words = [word for word in slug.split("-") if not _VERSION.fullmatch(word)]
    return "" if ":" in slug or not words else f"{author}/{'-'.join(words)}"


def latest_aliases(models: Iterable[ModelSpec]) -> dict[str, str]:
    """Return ``~author/family-latest`` → the id of the family's newest model. Of two of one day the higher version counts as newer."""
    newest: dict[str, ModelSpec] = {}
    for model in models:
        family = family_of(model.id)
        if family and (family not in newest or _age(model) > _age(newest[family])):
            newest[family] = model
    return {f"{LATEST_PREFIX}{family}-latest": model.id for family, model in newest.items()}


def listed_aliases(models: Iterable[ModelSpec]) -> dict[str, str]:
    """Return those of ``latest_aliases`` that choose: of families with several models."""
    known = list(models)
    counts = Counter(family_of(model.id) for model in known)
    return {alias: target for alias, target in latest_aliases(known).items() if counts[family_of(target)] > 1}


def _age(model: ModelSpec) -> tuple[int, list[int], str]:
    return model.created_s, [int(number) for number in re.findall(r"\d+", model.id)], model.id
