"""Models side by side: one column each, one row per fact."""

from collections.abc import Sequence
from typing import NamedTuple

from catalog.showcase import ModelRow, model_row
from catalog.types import ModelSpec, Snapshot


class Fact(NamedTuple):
    """One row; ``cells`` are in the order of the models."""

    name: str
    cells: tuple[str, ...]


def columns(snapshot: Snapshot, models: Sequence[ModelSpec]) -> list[ModelRow]:
    """Return the models with the prices of their cheapest endpoint."""
    return [model_row(snapshot, model) for model in models]


def _yes(*, value: bool | None) -> str:
    return "–" if value is None else "Yes" if value else "No"


def facts(snapshot: Snapshot, models: Sequence[ModelSpec]) -> list[Fact]:
    """Return what can be said in words; prices and context are drawn by the template."""
    providers = [sorted({snapshot.providers[snapshot.endpoints[name].provider].name for name in model.endpoints}) for model in models]
    return [
        Fact("Reads", tuple(", ".join(model.input_modalities) for model in models)),
        Fact("Writes", tuple(", ".join(model.output_modalities) for model in models)),
        Fact("Calls tools", tuple(_yes(value="tools" in model.supported_parameters) for model in models)),
        Fact("Structured output", tuple(_yes(value="structured_outputs" in model.supported_parameters) for model in models)),
        Fact("Reasons", tuple(_yes(value=model.reasoning) for model in models)),
        Fact("Open weights", tuple(_yes(value=model.open_weights) for model in models)),
        Fact("Knows until", tuple(model.knowledge_cutoff or "–" for model in models)),
        Fact("Providers", tuple(", ".join(names) or "–" for names in providers)),
    ]
