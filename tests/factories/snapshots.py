"""A small published catalog."""

import datetime as dt
from collections.abc import Mapping

import msgspec

from catalog.models import CatalogSnapshot, Endpoint, Model, PriceVersion, Provider
from catalog.types import CallerPrice, EndpointSpec, ModelSpec, ProviderSpec, RateCard, Snapshot

RATES = {"input_tokens": 250_000, "output_tokens": 600_000}


def make_model(slug: str, *, endpoints: tuple[str, ...], created_s: int = 1_760_000_000, model_type: str = "chat") -> ModelSpec:
    author, _, name = slug.partition("/")
    return ModelSpec(
        id=slug,
        canonical_slug="",
        name=name.title(),
        author=author,
        type=model_type,
        description=f"{name} in a sentence.",
        created_s=created_s,
        context_length=128_000,
        max_output_tokens=8_000,
        input_modalities=("text", "image"),
        output_modalities=("text",),
        supported_parameters=("tools",),
        endpoints=endpoints,
    )


def make_endpoint(slug: str, *, rates: dict[str, int] | None = None) -> EndpointSpec:
    model, _, tag = slug.partition("@")
    card = RateCard(rates=RATES if rates is None else rates)
    return EndpointSpec(
        id=slug, model=model, provider=tag.partition("/")[0], provider_model_id=model, tag=tag, context_length=128_000,
        price_version_id=1, price=card, cost=card,
    )  # fmt: skip


def make_provider(slug: str, *, mode: str = "live") -> ProviderSpec:
    return ProviderSpec(slug=slug, name=slug.title(), base_url="http://127.0.0.1", dialect="chat_completions", auth="bearer", mode=mode)


def publish(
    *,
    models: list[ModelSpec],
    endpoints: list[EndpointSpec],
    providers: list[ProviderSpec],
    version: int,
    own_prices: Mapping[int, Mapping[str, RateCard]] | None = None,
) -> Snapshot:
    """Publish exactly these, with prices of their own for some organizations (by key and endpoint id).

    ``version`` must not repeat within a process: decoded snapshots are kept by version.
    """
    snapshot = Snapshot(
        version=version,
        published_at=dt.datetime(2026, 11, 1, tzinfo=dt.UTC),
        models={one.id: one for one in models},
        endpoints={one.id: one for one in endpoints},
        providers={one.slug: one for one in providers},
        aliases={"acme/swift-2026": "acme/swift"},
        price_books={
            f"organization:{org_id}": msgspec.Raw(msgspec.msgpack.encode({name: CallerPrice(1, card) for name, card in cards.items()}))
            for org_id, cards in (own_prices or {}).items()
        },
        book_of=tuple((org_id, f"organization:{org_id}") for org_id in own_prices or {}),
    )
    CatalogSnapshot.objects.create(
        version=version,
        published_at=snapshot.published_at,
        body=msgspec.msgpack.encode(snapshot),
        digest=f"test-{version}",
        environment_digest="test",
        model_count=len(models),
        endpoint_count=len(endpoints),
        provider_count=len(providers),
    )
    return snapshot


def make_price_version(rates: dict[str, int], **fields: object) -> PriceVersion:
    """Store a price version with an endpoint of its own; the price is the cost unless ``fields`` say otherwise."""
    provider = Provider.objects.create(slug="acme", name="Acme", kind="lab", protocol="openai", auth="bearer")
    model = Model.objects.create(slug="acme/swift", name="Swift", author="acme", author_name="Acme", type="chat")
    endpoint = Endpoint.objects.create(
        slug="acme/swift@acme", model=model, provider=provider, provider_model_id="swift", tag="acme", last_seen=dt.date(2026, 11, 1)
    )
    card = {"rates": rates}
    return PriceVersion.objects.create(
        **{
            "endpoint": endpoint,
            "effective_from": dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
            "cost": card,
            "price": card,
            "listed": {},
            "agreement_level": "high",
            **fields,
        }
    )
