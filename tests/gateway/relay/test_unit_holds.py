"""Holds and charges in other units than tokens: what was held covers whatever may be reported; a charge has only what the card prices."""

import datetime as dt

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.pricing import cost
from catalog.types import EndpointSpec, ModelType, RateCard, Usage
from gateway.dialects.base import ChatRequest
from gateway.dialects.client_registry import CLIENT_DIALECTS
from gateway.dialects.images_client import tokens_of
from gateway.dialects.rerank_client import searches_of
from gateway.relay.estimate import bound_nanos, plan_hold
from gateway.relay.settlement import unit_usage

AT = dt.datetime(2026, 11, 29, tzinfo=dt.UTC)
RATES = st.integers(0, 10**10)
CARDS: dict[ModelType, tuple[str, ...]] = {
    "rerank": ("searches", "input_tokens"),
    "image": ("images", "image_output_tokens", "input_tokens", "output_tokens", "image_input_tokens"),
    "speech": ("characters", "audio_output_tokens", "input_tokens", "output_tokens"),
    "transcription": ("seconds", "audio_input_tokens", "input_tokens", "output_tokens"),
    "moderation": ("input_tokens",),
}


def endpoint(rates: dict[str, int], provider: str = "acme") -> EndpointSpec:
    card = RateCard(rates=rates)
    return EndpointSpec(
        id="a/b@acme", model="a/b", provider=provider, provider_model_id="b", tag=provider, price_version_id=1, price=card, cost=card
    )


def read(path: str, **body: object) -> ChatRequest:
    data = msgspec.json.encode({"model": "a/b", **body})
    request = CLIENT_DIALECTS[f"/api/v1/{path}"].decode_request(data)
    request.body_bytes = len(data)
    return request


REQUESTS = {
    "rerank": read("rerank", query="road " * 50, documents=["hill " * 300, "road"] * 120),
    "image": read("images", prompt="a road", n=3, size="2048x1024"),
    "speech": read("audio/speech", input="Der Weg geht über den Berg. " * 20, speed=0.5),
    "transcription": read("audio/transcriptions", input_audio={"data": "QUJD" * 20_000, "format": "mp3"}),
    "moderation": read("moderations", input=["a road"] * 5),
}


@pytest.mark.parametrize("kind", REQUESTS)
@given(data=st.data())
def test_the_hold_covers_any_report_of_no_more_than_the_request_can_use(kind, data):
    request = REQUESTS[kind]
    rates = data.draw(st.dictionaries(st.sampled_from(CARDS[kind]), RATES, min_size=1))
    spec = endpoint(rates)
    plan = plan_hold(request, spec, default_output_tokens=4096)
    prompt = data.draw(st.integers(0, plan.prompt_tokens))
    answer = data.draw(st.integers(0, plan.output_tokens))
    units = {meter: data.draw(st.integers(0, most)) for meter, most in request.units_max.items()}
    sides = [meter for meter in CARDS[kind] if meter.endswith("input_tokens")], [meter for meter in CARDS[kind] if "output" in meter]
    counts = {side[0]: count for side, count in zip(sides, (prompt, answer), strict=True) if side}

    usage = unit_usage(request, spec.price, Usage(**counts, **units))

    assert cost(spec.price, usage, at=AT).nanos <= plan.amount_nanos


@pytest.mark.parametrize("kind", REQUESTS)
@given(rates=st.dictionaries(st.sampled_from(sorted({meter for card in CARDS.values() for meter in card})), RATES, min_size=1))
def test_a_missing_report_is_charged_within_the_hold_and_never_by_what_has_no_price(kind, rates):
    spec = endpoint(rates)

    usage = unit_usage(REQUESTS[kind], spec.price, None)

    assert cost(spec.price, usage, at=AT).nanos <= plan_hold(REQUESTS[kind], spec, default_output_tokens=4096).amount_nanos


def test_what_has_no_price_is_left_out_and_what_is_sold_is_not():
    request, reported = REQUESTS["image"], Usage(images=2, input_tokens=5, image_output_tokens=2000)

    assert unit_usage(request, RateCard(rates={"images": 1}), reported) == Usage(images=2)
    assert unit_usage(request, RateCard(rates={"image_output_tokens": 1}), reported) == Usage(image_output_tokens=2000)
    assert unit_usage(request, RateCard(rates={"images": 1, "input_tokens": 1}), reported) == Usage(images=2, input_tokens=5)


def test_characters_are_counted_and_no_estimate():
    card = RateCard(rates={"characters": 1})

    assert unit_usage(REQUESTS["speech"], card, None) == Usage(characters=28 * 20)


def test_seconds_that_are_sold_and_were_not_reported_are_an_estimate():
    usage = unit_usage(REQUESTS["transcription"], RateCard(rates={"seconds": 1}), Usage(audio_input_tokens=10))

    assert (usage.seconds, usage.audio_input_tokens, usage.is_estimate) == (30, 0, True)  # 60,000 bytes at 2,000 a second


@pytest.mark.parametrize(
    ("query", "documents", "searches"),
    [
        (40, [100] * 100, 1),
        (40, [100] * 101, 2),
        (40, [490 * 4] * 100, 1),
        (40, [490 * 4 + 1] * 100, 2),
        (8_000, [1_000] * 100, 1),
        (8_000, [1_001] * 100, 2),
        (40, [0], 1),
    ],
)
def test_a_search_is_a_hundred_documents_of_five_hundred_tokens_with_the_query(query, documents, searches):
    assert searches_of(query, documents, bytes_per_token=4) == searches


@pytest.mark.parametrize(
    ("asked", "tokens"),
    [
        ({"size": "2048x2048"}, 14_272),
        ({"size": "3840x2160"}, 23_719),
        ({"size": "64x64"}, 10_044),
        ({}, 10_044),
        ({"resolution": "4K"}, 43_263),
    ],
)
def test_a_picture_is_held_at_the_dearest_count_of_its_size(asked, tokens):
    assert tokens_of(asked) == tokens


def test_searches_that_a_provider_runs_unasked_are_held_once():
    chat = read("chat/completions", messages=[{"role": "user", "content": "hello"}])
    rates = {"input_tokens": 0, "output_tokens": 0, "searches": 10_000_000_000}

    assert bound_nanos(chat, endpoint(rates, "perplexity"), prompt_tokens=1, output_tokens=1) == 10 * 10_000_000
    assert bound_nanos(chat, endpoint(rates, "perplexity"), prompt_tokens=0, output_tokens=1) == 0
    assert bound_nanos(chat, endpoint(rates, "acme"), prompt_tokens=1, output_tokens=1) == 0
