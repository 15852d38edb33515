"""The simulated Checkout page, as a browser sees it."""

import re
from collections.abc import Iterator

import httpx
import pytest

from gateway.stripe_simulator.app import StripeSimulator
from tests.fakes.stripe import FakeStripe, serve


@pytest.fixture(scope="module")
def stripe() -> Iterator[FakeStripe]:
    with serve(StripeSimulator()) as fake:
        yield fake


def _post(stripe: FakeStripe, path: str, **fields: str) -> dict[str, str]:
    answer = httpx.post(f"{stripe.url}/v1{path}", data=fields, headers={"Authorization": "Bearer sk_test_x"}, trust_env=False)
    return answer.raise_for_status().json()  # type: ignore[no-any-return]


def _open(stripe: FakeStripe, customer: str, **fields: str) -> str:
    given = {
        "mode": "payment", "customer": customer, "success_url": "http://site/back", "line_items[0][quantity]": "1",
        "line_items[0][price_data][currency]": "usd", "line_items[0][price_data][unit_amount]": "2000",
        "line_items[0][price_data][product_data][name]": "Credit", "saved_payment_method_options[allow_redisplay_filters][0]": "always",
        "saved_payment_method_options[allow_redisplay_filters][1]": "limited",
    }  # fmt: skip
    return _post(stripe, "/checkout/sessions", **(given | fields))["id"]


def _methods(stripe: FakeStripe, session: str) -> list[str]:
    page = httpx.get(f"{stripe.url}/c/pay/{session}", trust_env=False).text
    return re.findall(r'name="method" value="([^"]+)"', page)


def test_a_card_that_was_saved_is_offered_next_time_to_its_customer_only(stripe: FakeStripe) -> None:
    customer, other = (_post(stripe, "/customers", email=f"{name}@example.com")["id"] for name in ("ada", "bob"))
    first = _open(stripe, customer, **{"payment_intent_data[setup_future_usage]": "off_session"})
    assert _methods(stripe, first) == ["card", "bank"]
    stripe.pay(first)
    card = stripe.newest("payment_method")

    second = _open(stripe, customer)

    assert _methods(stripe, second) == [card["id"], "card", "bank"]
    assert _methods(stripe, _open(stripe, other)) == ["card", "bank"]
    assert stripe.pay(second, method=card["id"], card="").status_code == 303
    assert stripe.newest("charge")["payment_method"] == card["id"]


def test_the_card_of_another_customer_cannot_be_named(stripe: FakeStripe) -> None:
    customer, other = (_post(stripe, "/customers", email=f"{name}@example.com")["id"] for name in ("ada", "bob"))
    stripe.pay(_open(stripe, customer, **{"payment_intent_data[setup_future_usage]": "off_session"}))
    card = stripe.newest("payment_method")["id"]

    assert stripe.pay(_open(stripe, other), method=card, card="").status_code == 402


def test_a_card_that_asks_its_owner_is_paid_after_a_yes_and_keeps_the_choice(stripe: FakeStripe) -> None:
    customer = _post(stripe, "/customers", email="ada@example.com")["id"]
    session = _open(stripe, customer)

    asked = stripe.pay(session, card="4000 0027 6000 3184")
    answered = stripe.pay(session, card="4000 0027 6000 3184", authenticated="yes")

    assert (asked.status_code, "Your bank asks" in asked.text) == (200, True)
    assert (answered.status_code, answered.headers["location"]) == (303, "http://site/back")


def test_every_page_says_that_it_is_a_simulation_and_runs_no_script(stripe: FakeStripe) -> None:
    customer = _post(stripe, "/customers", email="ada@example.com")["id"]
    paths = [f"/c/pay/{_open(stripe, customer)}", "/nothing", f"/c/pay/{_open(stripe, customer, cancel_url='http://site')}"]
    portal = _post(stripe, "/billing_portal/sessions", customer=customer, return_url="http://site")

    pages = [httpx.get(f"{stripe.url}{path}", trust_env=False) for path in paths] + [httpx.get(portal["url"], trust_env=False)]  # type: ignore[arg-type]

    assert all("This is a simulation." in page.text and "<script" not in page.text for page in pages)
    assert all("default-src 'none'" in page.headers["content-security-policy"] for page in pages)
    assert {page.headers["x-tollway-simulated"] for page in pages} == {"1"}


def test_text_of_callers_is_written_as_text(stripe: FakeStripe) -> None:
    customer = _post(stripe, "/customers", email="ada@example.com")["id"]
    session = _open(stripe, customer, **{"line_items[0][price_data][product_data][name]": "<img src=x>"})

    answer = stripe.pay(session, card="4000000000000002", name='"><script>alert(1)</script>')

    assert answer.status_code == 402
    assert "<img" not in answer.text
    assert "<script" not in answer.text
