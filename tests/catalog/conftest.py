"""A small catalog as files, the real one loaded once per process, and makers for both."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from django.conf import settings
from django.db import transaction
from pytest_django import DjangoDbBlocker

from catalog import publication, queries
from catalog.checks import Problem
from catalog.loader import LoadSummary
from catalog.models import CatalogSnapshot, PriceVersion
from catalog.snapshot import decode_snapshot
from catalog.types import Snapshot

PROVIDER = """\
slug: acme
name: Acme
kind: host
base_url: 'https://api.acme.example/v1'
protocol: openai
auth: bearer
data_policy: {{trains_on_prompts: false}}
endpoints:
{endpoints}
"""
ENDPOINT = """\
- id: maker/small@acme
  model: maker/small
  provider_model_id: small-1
  context_length: 1000
  input_modalities: [text]
  last_seen: '2026-11-01'
  price: {price}
  source: {{data_set: hand, date: '2026-11-01'}}
  agreement: {{level: single}}
"""
MODELS = """\
author: maker
author_name: Maker
models:
- id: maker/small
  name: Small
  type: chat
  released: '2025-03'
  input_modalities: [text]
  output_modalities: [text]
  canonical_slug: maker/small-20250301
"""
PRICE = "{usd_per_million_tokens: {input: '0.5', output: '1.5'}}"


class DataDir(NamedTuple):
    """A directory of data files with one provider, one model and one endpoint, whose price can be written anew."""

    path: Path

    def write(self, *, price: str = PRICE, endpoint: str = ENDPOINT, provider: str = PROVIDER, models: str = MODELS) -> Path:
        for name in ("providers", "models"):
            (self.path / name).mkdir(exist_ok=True)
        (self.path / "providers" / "acme.yaml").write_text(provider.format(endpoints=endpoint.format(price=price)))
        (self.path / "models" / "maker.yaml").write_text(models)
        return self.path


@pytest.fixture
def data_dir(tmp_path: Path) -> DataDir:
    one = DataDir(tmp_path)
    one.write()
    return one


@pytest.fixture
def publish_small(db: None, data_dir: DataDir) -> Callable[..., Snapshot]:
    """Return a function that writes, loads and publishes the small catalog, and returns the snapshot in force."""

    def publish(**parts: str) -> Snapshot:
        publication.load_and_publish(data_dir=data_dir.write(**parts))
        return newest_snapshot()

    return publish


def newest_snapshot() -> Snapshot:
    return decode_snapshot(bytes(CatalogSnapshot.objects.latest("version").body))


class RealCatalog(NamedTuple):
    """What the shipped data files become in demo mode."""

    summary: LoadSummary
    counts: queries.Counts
    price_versions: int
    snapshot: Snapshot
    problems: tuple[Problem, ...]


@pytest.fixture(scope="session")
def real_catalog(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> RealCatalog:
    """Load and publish the shipped data files once, keep what came of it, and leave the database as it was."""
    with django_db_blocker.unblock():
        was, settings.DEMO_MODE = settings.DEMO_MODE, True
        with transaction.atomic():
            summary, published = publication.load_and_publish()
            found = RealCatalog(summary, queries.counts(), PriceVersion.objects.count(), newest_snapshot(), published.problems)
            transaction.set_rollback(True)
        settings.DEMO_MODE = was
    return found
