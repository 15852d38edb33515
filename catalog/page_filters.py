"""What the list of models can be narrowed down by; every choice is in the address. Pure but for reading a query."""

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Final, NamedTuple

from catalog.endpoint_listing import keeps_nothing
from catalog.types import EndpointSpec, ModelSpec, Snapshot

_MILLION: Final = 1_000_000
_LENGTH_MAX: Final = 60
FEATURES: Final[Mapping[str, str]] = {
    "tools": "Calls tools",
    "structured": "Structured output",
    "reasoning": "Reasons",
    "vision": "Reads images",
    "audio": "Hears audio",
    "video": "Watches video",
    "files": "Reads files",
    "free": "Free",
    "open": "Open weights",
    "zdr": "Zero retention",
    "notrain": "Never trains on prompts",
}
CONTEXTS: Final = (32_000, 128_000, 200_000, 1_000_000)
REGIONS: Final = ("eu", "us", "global")


class ModelFilters(NamedTuple):
    """The chosen filters; empty ones do not filter. ``features`` are words of FEATURES, and all of them must hold."""

    author: str = ""
    provider: str = ""
    features: frozenset[str] = frozenset()
    context_min: int = 0
    price_min_usd: Decimal | None = None  # per million input tokens, as the next
    price_max_usd: Decimal | None = None
    region: str = ""

    def match(self, snapshot: Snapshot, model: ModelSpec) -> bool:
        """Return whether a model passes. Prices, regions and data policies are those of endpoints that answer here."""
        if (self.author and model.author != self.author) or model.context_length < self.context_min:
            return False
        if not all(_has(model, feature) for feature in self.features - _OF_ENDPOINTS):
            return False
        has_price_range = self.price_min_usd is not None or self.price_max_usd is not None
        if not (self.provider or self.region or has_price_range or self.features & _OF_ENDPOINTS):
            return True
        endpoints = (snapshot.endpoints[name] for name in model.endpoints)
        return any(self._match_endpoint(snapshot, one) for one in endpoints)

    def _match_endpoint(self, snapshot: Snapshot, endpoint: EndpointSpec) -> bool:
        provider = snapshot.providers[endpoint.provider]
        rate = endpoint.price.rates.get("input_tokens")
        is_dear = self.price_min_usd is None or (rate is not None and rate >= self.price_min_usd * _MILLION)
        is_cheap = self.price_max_usd is None or (rate is not None and rate <= self.price_max_usd * _MILLION)
        return (
            (not self.provider or endpoint.provider == self.provider)
            and (provider.mode != "off" or bool(self.provider))
            and (not self.region or endpoint.region == self.region)
            and is_dear
            and is_cheap
            and ("free" not in self.features or endpoint.is_free)
            and ("zdr" not in self.features or keeps_nothing(provider))
            and ("notrain" not in self.features or provider.data_policy.get("trains_on_prompts") is False)
        )


_OF_ENDPOINTS: Final = frozenset({"free", "zdr", "notrain"})
NO_FILTERS: Final = ModelFilters()


def _has(model: ModelSpec, feature: str) -> bool:
    match feature:
        case "tools":
            return "tools" in model.supported_parameters
        case "structured":
            return "structured_outputs" in model.supported_parameters
        case "reasoning":
            return model.reasoning
        case "open":
            return model.open_weights is True
    return {"vision": "image", "audio": "audio", "video": "video", "files": "file"}[feature] in model.input_modalities


class Choices(NamedTuple):
    """What the form offers: (value, word) pairs."""

    authors: tuple[tuple[str, str], ...]
    providers: tuple[tuple[str, str], ...]
    features: tuple[tuple[str, str], ...]
    contexts: tuple[int, ...]
    regions: tuple[str, ...]


def choices(snapshot: Snapshot | None) -> Choices:
    """Return the choices that the published catalog gives."""
    authors = sorted({model.author for model in snapshot.models.values()}) if snapshot else []
    providers = sorted((one.name, slug) for slug, one in snapshot.providers.items()) if snapshot else []
    return Choices(
        tuple((one, one) for one in authors),
        tuple((slug, name) for name, slug in providers),
        tuple(FEATURES.items()),
        CONTEXTS,
        REGIONS,
    )


def _number(text: str) -> Decimal | None:
    try:
        value = Decimal(text) if 0 < len(text) <= _LENGTH_MAX else Decimal("NaN")
    except InvalidOperation:
        return None
    return value if value.is_finite() and value >= 0 else None


def read_filters(query: Mapping[str, str]) -> ModelFilters:
    """Return the filters of a query; what makes no sense does not filter."""
    context = _number(query.get("context", ""))
    region = query.get("region", "")
    return ModelFilters(
        author=query.get("author", "")[:_LENGTH_MAX],
        provider=query.get("provider", "")[:_LENGTH_MAX],
        features=frozenset(one for one in FEATURES if query.get(one)),
        context_min=min(int(context), _MILLION * 1_000) if context else 0,
        price_min_usd=_number(query.get("min", "")),
        price_max_usd=_number(query.get("max", "")),
        region=region if region in REGIONS else "",
    )
