"""The simulated Stripe as `make run` starts it: a process of its own, found by the variables that Django gets."""

import dataclasses
import os
import stat
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from gateway.local.configuration import Configuration, read_configuration
from gateway.local.payments import payment_command, payment_variables, runs_payments
from gateway.local.processes import choose_port

CHECKOUT = {
    "mode": "payment", "success_url": "http://site/back", "line_items[0][quantity]": "1", "line_items[0][price_data][currency]": "usd",
    "line_items[0][price_data][unit_amount]": "2000", "line_items[0][price_data][product_data][name]": "Credit",
}  # fmt: skip


@pytest.fixture
def configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Configuration:
    for name in ("HOST", "PORT", "PUBLIC_URL", "DEMO_MODE", "STRIPE_SECRET_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TOLLWAY_DATA", str(tmp_path))
    return read_configuration()


@pytest.fixture
def running(configuration: Configuration) -> Iterator[tuple[str, str]]:
    """Return the address and the key of a running simulator."""
    port = choose_port()
    variables = payment_variables(configuration, port=port)
    process = subprocess.Popen(
        [str(part) for part in payment_command(configuration, port=port)], env={**os.environ, **variables, "WEB_CONCURRENCY": "2"}
    )
    url = variables["STRIPE_API_URL"]
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and process.poll() is None:
        try:
            httpx.get(f"{url}/healthz", trust_env=False)
            break
        except httpx.HTTPError:
            time.sleep(0.1)
    yield url, variables["STRIPE_SECRET_KEY"]
    process.terminate()
    process.wait(timeout=20)


def test_stripe_is_simulated_in_demo_mode_and_without_a_key_only(configuration: Configuration, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STRIPE_SECRET_KEY", "sk_test_of_ones_own")
    with_key = read_configuration()

    assert [runs_payments(one) for one in (configuration, with_key, dataclasses.replace(configuration, is_demo=False))] == [
        True,
        False,
        False,
    ]


def test_its_secrets_are_made_once_and_readable_by_the_owner_only(configuration: Configuration) -> None:
    first, second = (payment_variables(configuration, port=4000) for _ in range(2))

    assert first == second
    assert stat.S_IMODE((configuration.data / "stripe_secret").stat().st_mode) == 0o600
    assert not any(first["STRIPE_SECRET_KEY"] in str(part) for part in payment_command(configuration, port=4000))


def test_its_pages_have_the_host_of_the_dashboard(configuration: Configuration) -> None:
    opened = dataclasses.replace(configuration, host="0.0.0.0", public_url="http://lab.example:8000")  # noqa: S104 -- compared

    variables = payment_variables(opened, port=4000)

    assert (variables["STRIPE_PAGE_ORIGINS"], variables["STRIPE_API_URL"]) == ("http://lab.example:4000", "http://127.0.0.1:4000")


def test_it_takes_its_own_key_only_and_sends_the_customer_to_a_page_that_says_simulation(running: tuple[str, str]) -> None:
    url, key = running

    refused = httpx.post(f"{url}/v1/checkout/sessions", data=CHECKOUT, auth=("sk_test_other", ""), trust_env=False)
    session = httpx.post(f"{url}/v1/checkout/sessions", data=CHECKOUT, headers={"Authorization": f"Bearer {key}"}, trust_env=False).json()
    page = httpx.get(session["url"], trust_env=False)

    assert refused.status_code == 401
    assert session["url"].startswith(f"{url}/c/pay/cs_test_")
    assert "This is a simulation." in page.text
