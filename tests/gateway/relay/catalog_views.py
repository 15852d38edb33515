"""A catalog as the data plane sees it, made of candidates, for tests without a server."""

import datetime as dt
from pathlib import Path

from catalog.types import ModelSpec, ProviderSpec, Snapshot
from gateway.relay.catalog import Candidate, CatalogView
from gateway.relay.config import RelayConfig


def make_view(*candidates: Candidate, idle_providers: tuple[ProviderSpec, ...] = ()) -> CatalogView:
    """Return a view with the candidates' models, endpoints and providers, and providers that serve none of them."""
    endpoints = {one.endpoint.id: one.endpoint for one in candidates}
    names = dict.fromkeys(one.model for one in endpoints.values())
    models = {
        name: ModelSpec(
            id=name,
            canonical_slug=name,
            name=name,
            author="author",
            type="chat",
            description="A model for tests.",
            created_s=1_700_000_000,
            context_length=32_000,
            max_output_tokens=8192,
            input_modalities=("text",),
            output_modalities=("text",),
            supported_parameters=("temperature", "tools"),
            endpoints=tuple(one.id for one in endpoints.values() if one.model == name),
        )
        for name in names
    }
    snapshot = Snapshot(
        version=1,
        published_at=dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
        models=models,
        endpoints=endpoints,
        providers={spec.slug: spec for spec in (*(one.host.spec for one in candidates), *idle_providers)},
        aliases={},
    )
    config = RelayConfig(
        database_url="",
        redis_url="",
        broker_redis_url="",
        secret_keys=("a secret for tests",),
        provider_credentials={},
        public_url="https://tollway.example",
        spool_dir=Path("unused"),
    )
    return CatalogView(snapshot, config)
