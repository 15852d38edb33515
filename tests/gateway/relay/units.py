"""Models of the test catalog that are no chats, their hosts and their prices in picos per unit."""

from typing import Any

from catalog.types import EndpointSpec, ModelSpec, ModelType, RateCard

SEARCH_PICOS = 2_000_000_000  # $2 per thousand searches
RERANK_TOKEN_PICOS = 50_000  # $0.05 per million tokens

#: Slug → dialect and the path of the simulator that speaks it.
HOSTS: dict[str, tuple[str, str]] = {
    "cohere": ("cohere", "/p/cohere/v2"),
    "voyage": ("voyage", "/p/voyage/voyage/v1"),
}
_CARDS: dict[str, tuple[ModelType, dict[str, int], tuple[str, ...]]] = {
    "test/rank-searches": ("rerank", {"searches": SEARCH_PICOS}, ("cohere", "alpha")),
    "test/rank-tokens": ("rerank", {"input_tokens": RERANK_TOKEN_PICOS}, ("alpha",)),
    "test/rank-voyage": ("rerank", {"input_tokens": RERANK_TOKEN_PICOS}, ("voyage",)),
}


def make_units(first_price_version: int) -> tuple[dict[str, ModelSpec], dict[str, EndpointSpec]]:
    """Return the models and endpoints; at the first host of each the price is the listed one, at others a hundredth more."""
    models: dict[str, ModelSpec] = {}
    endpoints: dict[str, EndpointSpec] = {}
    for model_id, (kind, rates, slugs) in _CARDS.items():
        names = []
        for place, slug in enumerate(slugs):
            card = RateCard(rates={meter: rate + place * rate // 100 for meter, rate in rates.items()})
            one = _endpoint(model_id, slug, card, first_price_version + len(endpoints))
            endpoints[one.id] = one
            names.append(one.id)
        models[model_id] = _model(model_id, kind, tuple(names))
    return models, endpoints


def _endpoint(model_id: str, slug: str, card: RateCard, version: int) -> EndpointSpec:
    return EndpointSpec(
        id=f"{model_id}@{slug}",
        model=model_id,
        provider=slug,
        provider_model_id=model_id.partition("/")[2],
        tag=slug,
        price_version_id=version,
        price=card,
        cost=card,
        is_free=not any(card.rates.values()),
    )


def _model(model_id: str, kind: ModelType, endpoints: tuple[str, ...]) -> ModelSpec:
    fields: dict[str, Any] = {"canonical_slug": model_id, "name": model_id, "author": "test", "description": "", "created_s": 1_700_000_000}
    return ModelSpec(
        id=model_id,
        type=kind,
        context_length=0,
        max_output_tokens=0,
        input_modalities=("text",),
        output_modalities=("text",),
        supported_parameters=(),
        endpoints=endpoints,
        **fields,
    )
