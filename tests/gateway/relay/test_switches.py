"""What the operator switches off is not called any more before the publication is even made; what comes back is called again."""

import time
from collections.abc import Callable

import pytest

from catalog import publication, switches
from catalog.models import Provider
from tests.gateway.relay.conftest import Customer, Stack


def _wait_for(status: int, ask: Callable[[], int]) -> bool:
    deadline = time.monotonic() + 2  # as promised to the operator
    while (found := ask()) != status and time.monotonic() < deadline:
        time.sleep(0.02)
    return found == status


@pytest.fixture
def alpha(customer: Customer) -> Provider:
    return Provider.objects.create(slug="alpha", name="Alpha", protocol="chat_completions", auth="none")


def test_a_provider_that_is_switched_off_is_out_of_use_while_the_catalog_is_being_published(
    stack: Stack, customer: Customer, alpha: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ask() -> int:
        return customer.post(provider={"only": ["alpha"]}).status_code

    asked: list[bool] = []

    def publish_slowly() -> None:
        asked.append(_wait_for(404 if not alpha_is_on() else 200, ask))

    def alpha_is_on() -> bool:
        return Provider.objects.get(pk=alpha.pk).enabled

    monkeypatch.setattr(publication, "publish", publish_slowly)
    assert ask() == 200
    switches.switch(Provider.objects.filter(slug="alpha"), enabled=False)
    assert customer.post(provider={"order": ["alpha"]}).json()["provider"] == "Beta"
    switches.switch(Provider.objects.filter(slug="alpha"), enabled=True)
    assert asked == [True, True]
    assert stack.plane.app.view is not None
