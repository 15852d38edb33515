"""People who are logged in, and a small catalog."""

import itertools
from collections.abc import Callable

import pytest
from django.test import Client

from accounts.models import User
from catalog.types import Snapshot
from tests.factories import snapshots

_versions = itertools.count(1_000)


@pytest.fixture
def as_person(db: None) -> Callable[[User], Client]:
    """Return a maker of browsers in which a person is logged in."""

    def log_in(person: User) -> Client:
        client = Client()
        client.force_login(person, backend="django.contrib.auth.backends.ModelBackend")
        return client

    return log_in


@pytest.fixture
def catalog(db: None) -> Snapshot:
    """Return a published catalog of three models."""
    return snapshots.publish(
        models=[
            snapshots.make_model("acme/swift", endpoints=("acme/swift@acme", "acme/swift@slowhost")),
            snapshots.make_model("acme/painter", endpoints=("acme/painter@acme",), created_s=1_750_000_000, model_type="image"),
            snapshots.make_model("other/away", endpoints=("other/away@away",), created_s=1_740_000_000),
        ],
        endpoints=[
            snapshots.make_endpoint("acme/swift@acme"),
            snapshots.make_endpoint("acme/swift@slowhost", rates={"input_tokens": 500_000, "output_tokens": 1_200_000}),
            snapshots.make_endpoint("acme/painter@acme", rates={"images": 40_000_000_000}),
            snapshots.make_endpoint("other/away@away"),
        ],
        providers=[
            snapshots.make_provider("acme"),
            snapshots.make_provider("slowhost", mode="simulated"),
            snapshots.make_provider("away", mode="off"),
        ],
        version=next(_versions),
    )
