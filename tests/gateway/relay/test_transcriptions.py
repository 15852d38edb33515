"""POST /api/v1/audio/transcriptions through the real path: the file in both forms, its price by second or by token, what is refused."""

import base64
import io
import wave

import openai
import pytest

from tests.gateway.relay.conftest import cost_nanos, read_events
from tests.gateway.relay.units import SECOND_PICOS, SOUND_TOKEN_PICOS

SECONDS_MODELS = ["test/whisper", "test/listen-eleven", "test/listen-deep"]


def sound(seconds: float, *, tail: str = "", hz: int = 4000) -> bytes:
    """Return a WAV file of silence. ``tail`` stands in its samples."""
    samples = b"\0\0" * round(seconds * hz)
    end = tail.encode()
    target = io.BytesIO()
    with wave.open(target, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(hz)
        file.writeframes(samples[: len(samples) - len(end)] + end)
    return target.getvalue()


def send(customer, data, *, name="road.wav", **fields):
    form = {"model": "test/whisper", "provider": '{"order": ["openai"]}', **fields}
    return customer.stack.client.post(
        "/api/v1/audio/transcriptions", data=form, files={"file": (name, data, "audio/wav")}, headers=customer.headers
    )


def send_json(customer, data, **fields):
    body = {
        "model": "test/whisper",
        "provider": {"order": ["openai"]},
        "input_audio": {"data": base64.b64encode(data).decode(), "format": "wav"},
        **fields,
    }
    return customer.stack.client.post("/api/v1/audio/transcriptions", json=body, headers=customer.headers)


@pytest.mark.parametrize("model", SECONDS_MODELS)
@pytest.mark.parametrize("how", [send, send_json])
def test_sound_sold_by_the_second_costs_the_seconds_begun(customer, model, how):
    before = customer.balance_nanos()

    answer = how(customer, sound(61.5), model=model)

    body = answer.json()
    assert answer.status_code == 200, answer.text
    assert "61.5 seconds" in body["text"]
    assert (body["usage"]["seconds"], body["usage"]["type"]) == (62, "duration")
    assert cost_nanos(body["usage"]) == 62 * SECOND_PICOS // 1000 == before - customer.balance_nanos()
    (receipt,) = customer.receipts()
    assert (receipt.api_type, receipt.meters, receipt.is_estimate) == ("stt", {"seconds": 62, "requests": 1}, False)
    assert receipt.hold_nanos == receipt.amount_nanos


def test_sound_sold_by_the_token_costs_what_was_counted(customer):
    before = customer.balance_nanos()

    usage = send(customer, sound(20), model="test/listen-tokens", prompt="names").json()["usage"]

    assert (usage["type"], usage["input_tokens"], usage["input_token_details"]) == ("tokens", 202, {"audio_tokens": 200, "text_tokens": 2})
    picos = (202 + 4 * usage["output_tokens"]) * SOUND_TOKEN_PICOS
    assert cost_nanos(usage) == picos // 1000 == before - customer.balance_nanos()
    assert customer.receipts()[0].hold_nanos >= cost_nanos(usage)


def test_a_model_that_listens_in_a_chat_listens_here_too(customer):
    answer = send(customer, sound(2), model="test/listen-gemini")

    assert answer.status_code == 200, answer.text
    assert "Write down word for word" in answer.json()["text"]
    assert customer.receipts()[0].amount_nanos == cost_nanos(answer.json()["usage"]) > 0


@pytest.mark.parametrize("model", SECONDS_MODELS)
def test_the_long_form_has_times(customer, model):
    body = send(
        customer, sound(5), model=model, response_format="verbose_json", **{"timestamp_granularities[]": ["word", "segment"]}
    ).json()

    assert (body["task"], body["duration"]) == ("transcribe", 5)
    assert (body["words"][0]["word"], body["words"][0]["start"], body["words"][-1]["end"]) == ("This", 0, 5)
    assert isinstance(body["segments"], list)


def test_a_stream_has_the_words_and_then_the_whole_with_its_cost(customer):
    events = read_events(send(customer, sound(3), stream="true").text)

    assert [one if isinstance(one, str) else one["type"] for one in events] == ["transcript.text.delta", "transcript.text.done", "[DONE]"]
    assert cost_nanos(events[1]["usage"]) == 3 * SECOND_PICOS // 1000


def test_a_provider_that_fails_is_replaced(customer):
    answer = send(customer, sound(3, tail="[[simulate: status=503 only=openai]]"))

    assert answer.status_code == 200
    assert customer.receipts()[0].provider == "alpha"


@pytest.mark.parametrize("model", SECONDS_MODELS)
def test_what_nobody_measured_is_taken_from_the_file_and_marked(customer, model):
    usage = send(customer, sound(3.2, tail="[[simulate: missing_usage]]"), model=model).json()["usage"]

    assert usage["seconds"] == 4
    assert customer.receipts()[0].is_estimate is True


def test_a_file_whose_length_cannot_be_read_is_held_by_its_size(customer):
    answer = send(customer, b"\x1aE\xdf\xa3" + b"x" * 40_000, name="road.webm")

    assert answer.status_code == 200
    (receipt,) = customer.receipts()
    assert receipt.hold_nanos == 21 * SECOND_PICOS // 1000  # 40,004 bytes at 2,000 a second


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"input_audio": None}, "input_audio"),
        ({"input_audio": {"data": "not base64!", "format": "wav"}}, "input_audio.data"),
        ({"input_audio": {"data": "AAAA", "format": "docx"}}, "input_audio.format"),
        ({"input_audio": {"data": "AAAA"}}, "input_audio.format"),
        ({"response_format": "srt"}, "response_format"),
        ({"temperature": 3}, "temperature"),
        ({"timestamp_granularities": ["letter"]}, "timestamp_granularities"),
        ({"model": "test/chat"}, "model"),
        ({"model": None}, "model"),
    ],
)
def test_mistakes_are_told_with_the_field_and_cost_nothing(customer, fields, param):
    before = customer.balance_nanos()

    answer = send_json(customer, sound(1), **fields)

    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["metadata"]["param"].startswith(param)
    assert customer.balance_nanos() == before


@pytest.mark.parametrize(
    ("form", "param"),
    [
        ({"data": b"", "name": "road.wav"}, "file"),
        ({"data": b"x", "name": "road.docx"}, "file"),
        ({"data": b"x", "temperature": "warm"}, "temperature"),
        ({"data": b"x", "response_format": "text"}, "response_format"),
        ({"data": b"x", "provider": "openai"}, "provider"),
    ],
)
def test_mistakes_in_a_form_are_told_with_the_field(customer, form, param):
    name = form.pop("name", "road.wav")
    files = {"file": (name, form.pop("data"), "application/octet-stream")}
    answer = customer.stack.client.post(
        "/api/v1/audio/transcriptions", data={"model": "test/whisper", **form}, files=files, headers=customer.headers
    )

    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["metadata"]["param"] == param


def test_a_form_that_is_none_and_one_that_is_too_large_are_refused(customer):
    headers = {**customer.headers, "content-type": "multipart/form-data; boundary=road"}
    post = customer.stack.client.post

    assert post("/api/v1/audio/transcriptions", content=b"nothing", headers=headers).status_code == 400
    assert send(customer, b"x" * 1_000_001).status_code == 413
    assert customer.receipts() == []


@pytest.mark.parametrize("word", ["malformed", "status=429", "status=400", "error_in_stream"])
def test_failures_are_free(customer, word):
    before = customer.balance_nanos()

    answer = send(customer, sound(3, tail=f"[[simulate: {word}]]"), provider='{"only": ["openai"]}')

    assert answer.status_code in (400, 429, 500, 502), answer.text
    assert customer.balance_nanos() == before


def test_what_cannot_be_covered_is_refused(new_customer):
    customer = new_customer(credit_nanos=10 * SECOND_PICOS // 1000 - 1)

    assert send(customer, sound(10)).status_code == 402
    assert send(customer, sound(9)).status_code == 200


def test_the_official_client_gets_the_words(customer):
    with openai.OpenAI(base_url=f"{customer.stack.url}/api/v1", api_key=customer.secret) as client:
        brief = client.audio.transcriptions.create(model="test/whisper", file=("road.wav", sound(2)))
        long = client.audio.transcriptions.create(
            model="test/whisper", file=("road.wav", sound(2)), response_format="verbose_json", timestamp_granularities=["word"]
        )

    assert (brief.usage.type, brief.usage.seconds) == ("duration", 2)
    assert (long.duration, long.words[0].word) == (2, "This")


def test_the_router_s_own_client_reads_the_answer(customer):
    from openrouter import OpenRouter  # noqa: PLC0415 -- slow to import

    data = base64.b64encode(sound(2)).decode()
    with OpenRouter(api_key=customer.secret, server_url=f"{customer.stack.url}/api/v1") as client:
        answer = client.stt.create_transcription(model="test/whisper", input_audio={"data": data, "format": "wav"})

    assert answer.usage.seconds == 2
