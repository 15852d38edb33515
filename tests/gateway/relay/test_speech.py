"""POST /api/v1/audio/speech through the real path: the sound as it comes, its price by character or by token, what is refused."""

import base64
import time

import httpx
import openai
import pytest

from gateway.simulator.speech_wire import tone
from tests.gateway.relay.conftest import cost_nanos, read_events
from tests.gateway.relay.units import CHARACTER_PICOS, SPOKEN_TOKEN_PICOS, TEXT_PICOS

TEXT = "The road goes on – über den Berg."
CHARACTERS_MODELS = ["test/speak", "test/speak-eleven", "test/speak-deep"]
TOKENS_MODELS = ["test/speak-tokens", "test/speak-gemini"]


def ask(customer, text=TEXT, **fields):
    body = {"model": "test/speak", "input": text, "voice": "alloy", "provider": {"order": ["alpha"]}, **fields}
    return customer.stack.client.post("/api/v1/audio/speech", json=body, headers=customer.headers)


@pytest.mark.parametrize("model", CHARACTERS_MODELS)
def test_speech_sold_by_the_character_costs_the_characters_of_its_text(customer, model):
    before = customer.balance_nanos()

    answer = ask(customer, model=model)

    assert answer.status_code == 200, answer.text
    assert (answer.headers["content-type"], answer.content) == ("audio/pcm", tone(TEXT))
    cost = len(TEXT) * CHARACTER_PICOS // 1000
    assert before - customer.balance_nanos() == cost
    (receipt,) = customer.receipts()
    assert (receipt.api_type, receipt.meters, receipt.amount_nanos) == ("tts", {"characters": len(TEXT), "requests": 1}, cost)
    assert (receipt.hold_nanos, receipt.is_estimate, receipt.status) == (cost, False, "ok")
    assert f"gen-{receipt.event_id.hex}" == answer.headers["x-generation-id"]


@pytest.mark.parametrize("model", TOKENS_MODELS)
def test_speech_sold_by_the_token_costs_what_was_counted(customer, model):
    before = customer.balance_nanos()

    answer = ask(customer, model=model, voice="Kore")

    assert (answer.status_code, answer.content) == (200, tone(TEXT))
    (receipt,) = customer.receipts()
    meters = receipt.meters
    assert meters["audio_output_tokens"] == 20 * len(TEXT) // 15
    picos = meters["input_tokens"] * TEXT_PICOS + meters["audio_output_tokens"] * SPOKEN_TOKEN_PICOS
    assert receipt.amount_nanos == picos // 1000 == before - customer.balance_nanos()
    assert receipt.hold_nanos >= receipt.amount_nanos


@pytest.mark.parametrize(
    ("form", "kind", "head"), [("mp3", "audio/mpeg", b"\xff\xfb"), ("wav", "audio/wav", b"RIFF"), ("pcm", "audio/pcm", tone(TEXT)[:4])]
)
@pytest.mark.parametrize("model", CHARACTERS_MODELS)
def test_the_sound_is_of_the_format_that_was_asked_for(customer, model, form, kind, head):
    answer = ask(customer, model=model, response_format=form)

    assert (answer.headers["content-type"], answer.content[: len(head)]) == (kind, head)


@pytest.mark.parametrize("model", [*CHARACTERS_MODELS, *TOKENS_MODELS])
def test_events_carry_the_same_sound_and_the_cost_at_the_end(customer, model):
    answer = ask(customer, model=model, stream_format="sse")

    *sounds, done = read_events(answer.text)
    assert b"".join(base64.b64decode(one["audio"]) for one in sounds) == tone(TEXT)
    assert done["type"] == "speech.audio.done"
    assert cost_nanos(done["usage"]) == customer.receipts()[0].amount_nanos > 0


def test_sound_is_relayed_as_it_comes(customer):
    body = {"model": "test/speak", "input": "[[simulate: drip=2]] " + TEXT, "provider": {"order": ["alpha"]}}
    began_s = time.monotonic()

    with customer.stack.client.stream("POST", "/api/v1/audio/speech", json=body, headers=customer.headers) as answer:
        next(answer.iter_raw(1))
        first_s = time.monotonic() - began_s

    assert answer.status_code == 200
    assert first_s < 1  # the whole takes half a minute


def test_a_client_that_leaves_stops_the_provider_and_pays_for_its_text(customer):
    body = {"model": "test/speak", "input": "[[simulate: drip=5]] " + TEXT, "provider": {"order": ["alpha"]}}
    stats = f"{customer.stack.simulator_url}/stats"
    abandoned = httpx.get(stats).json()["abandoned"]

    with customer.stack.client.stream("POST", "/api/v1/audio/speech", json=body, headers=customer.headers) as answer:
        next(answer.iter_raw(1))

    deadline_s = time.monotonic() + 2
    while httpx.get(stats).json()["abandoned"] == abandoned and time.monotonic() < deadline_s:
        time.sleep(0.01)
    assert httpx.get(stats).json()["abandoned"] == abandoned + 1
    (receipt,) = customer.receipts()
    assert (receipt.status, receipt.amount_nanos) == ("cancelled", len(body["input"]) * CHARACTER_PICOS // 1000)


def test_a_provider_that_fails_is_replaced(customer):
    answer = ask(customer, "[[simulate: status=503 only=alpha]] hello")

    assert answer.status_code == 200
    assert customer.receipts()[0].provider == "beta"


def test_sound_that_breaks_off_is_free_and_does_not_end_as_if_it_were_whole(customer):
    before = customer.balance_nanos()

    with pytest.raises(httpx.RemoteProtocolError):
        ask(customer, "[[simulate: cut_after=1]] hello")
    events = read_events(ask(customer, "[[simulate: cut_after=1]] hello", stream_format="sse").text)

    assert events[-1]["type"] == "error"
    assert events[-1]["error"]["code"] == 502
    assert customer.balance_nanos() == before
    assert [one.status for one in customer.receipts()] == ["error", "error"]


# Sound in events is never empty.
@pytest.mark.parametrize(
    ("model", "word"),
    [
        *(("test/speak", word) for word in ("status=429", "status=400", "empty", "error_in_stream")),
        *(("test/speak-tokens", word) for word in ("status=429", "status=400", "error_in_stream")),
    ],
)
def test_failures_before_the_first_sound_are_errors_and_free(customer, model, word):
    before = customer.balance_nanos()

    answer = ask(customer, f"[[simulate: {word.replace('error_in_stream', 'error_in_stream=0')}]] hello", model=model, provider={})

    assert answer.status_code in (400, 429, 500, 502), answer.text
    assert "error" in answer.json()
    assert customer.balance_nanos() == before


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"input": ""}, "input"),
        ({"input": None}, "input"),
        ({"response_format": "midi"}, "response_format"),
        ({"speed": 9}, "speed"),
        ({"stream_format": "chunks"}, "stream_format"),
        ({"input_references": [{"type": "input_audio"}]}, "input_references"),
        ({"model": "test/chat"}, "model"),
        ({"model": None}, "model"),
    ],
)
def test_mistakes_are_told_with_the_field_and_cost_nothing(customer, fields, param):
    before = customer.balance_nanos()

    answer = ask(customer, **fields)

    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["metadata"]["param"] == param
    assert customer.balance_nanos() == before


def test_a_format_that_no_provider_of_the_model_makes_is_refused(customer):
    answer = ask(customer, model="test/speak-gemini", response_format="mp3")

    assert answer.status_code == 400
    assert "pcm" in answer.json()["error"]["message"]


def test_a_text_that_cannot_be_covered_is_refused(new_customer):
    customer = new_customer(credit_nanos=100 * CHARACTER_PICOS // 1000 - 1)

    assert ask(customer, "x" * 100).status_code == 402
    assert ask(customer, "x" * 99).status_code == 200


def test_the_official_client_gets_sound_whole_and_streamed(customer):
    with openai.OpenAI(base_url=f"{customer.stack.url}/api/v1", api_key=customer.secret) as client:
        whole = client.audio.speech.create(model="test/speak", voice="alloy", input=TEXT, response_format="wav").content
        with client.audio.speech.with_streaming_response.create(
            model="test/speak", voice="alloy", input=TEXT, response_format="pcm"
        ) as answer:
            streamed = b"".join(answer.iter_bytes())

    assert whole[:4] == b"RIFF"
    assert streamed == tone(TEXT)


def test_the_router_s_own_client_reads_the_answer(customer):
    from openrouter import OpenRouter  # noqa: PLC0415 -- slow to import

    with OpenRouter(api_key=customer.secret, server_url=f"{customer.stack.url}/api/v1") as client:
        sound = client.tts.create_speech(model="test/speak", input=TEXT, voice="alloy", response_format="pcm").read()

    assert sound == tone(TEXT)
