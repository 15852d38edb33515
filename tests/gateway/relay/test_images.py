"""POST /api/v1/images and /images/generations through the real path: the pictures, their price by piece or by token, what is refused."""

import base64
import struct

import openai
import pytest

from tests.gateway.relay.conftest import cost_nanos, read_events
from tests.gateway.relay.units import IMAGE_PICOS, IMAGE_TOKEN_PICOS, TEXT_PICOS

PIXEL = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


def ask(customer, path="images", **fields):
    body = {"model": "test/image-pieces", "prompt": "a road", "provider": {"order": ["alpha"]}, **fields}
    return customer.stack.client.post(f"/api/v1/{path}", json=body, headers=customer.headers)


def size_of(row):
    data = base64.b64decode(row["b64_json"])
    assert data.startswith(b"\x89PNG")
    return struct.unpack(">II", data[16:24])


@pytest.mark.parametrize("path", ["images", "images/generations"])
def test_pictures_sold_by_the_piece_cost_their_number(customer, path):
    before = customer.balance_nanos()

    answer = ask(customer, path, n=3, size="512x256")

    body = answer.json()
    assert answer.status_code == 200, answer.text
    assert [(size_of(one), one["media_type"]) for one in body["data"]] == [((512, 256), "image/png")] * 3
    assert len({one["b64_json"] for one in body["data"]}) == 3
    assert cost_nanos(body["usage"]) == 3 * IMAGE_PICOS // 1000 == before - customer.balance_nanos()
    (receipt,) = customer.receipts()
    assert (receipt.api_type, receipt.meters, receipt.amount_nanos) == ("image", {"images": 3, "requests": 1}, 3 * IMAGE_PICOS // 1000)
    assert receipt.hold_nanos == receipt.amount_nanos


def test_pictures_sold_by_the_token_cost_what_was_counted(customer):
    before = customer.balance_nanos()

    body = ask(customer, model="test/image-tokens", prompt="four four", n=2, quality="high", provider={"only": ["openai"]}).json()

    usage = body["usage"]
    assert (usage["prompt_tokens"], usage["completion_tokens"], usage["output_tokens"]) == (3, 2 * 4160, 2 * 4160)
    picos = 3 * TEXT_PICOS + 2 * 4160 * IMAGE_TOKEN_PICOS
    assert cost_nanos(usage) == picos // 1000 == before - customer.balance_nanos()
    (receipt,) = customer.receipts()
    assert receipt.meters == {"input_tokens": 3, "image_output_tokens": 8320, "requests": 1}
    assert receipt.hold_nanos >= receipt.amount_nanos


def test_a_model_that_draws_in_a_chat_draws_here_too(customer):
    before = customer.balance_nanos()

    body = ask(customer, model="test/image-gemini", aspect_ratio="16:9", resolution="1K").json()

    assert size_of(body["data"][0]) == (1024, 576)
    assert body["usage"]["completion_tokens_details"]["image_tokens"] == 1290
    assert cost_nanos(body["usage"]) == before - customer.balance_nanos() > 1290 * IMAGE_TOKEN_PICOS // 1000


def test_imagen_predicts_as_many_as_were_asked_for(customer):
    body = ask(customer, model="test/imagen", n=2, aspect_ratio="16:9").json()

    assert [size_of(one) for one in body["data"]] == [(1024, 576)] * 2
    assert cost_nanos(body["usage"]) == 2 * IMAGE_PICOS // 1000 == customer.receipts()[0].hold_nanos


@pytest.mark.parametrize("stream", [False, True])
def test_a_model_of_pictures_draws_in_a_chat_as_well(customer, stream):
    before = customer.balance_nanos()
    asked = {"model": "test/image-gemini", "modalities": ["image", "text"], "image_config": {"aspect_ratio": "1:1"}, "provider": {}}

    if stream:
        chunks = customer.stream(**asked)
        pictures = [one for chunk in chunks[:-2] for choice in chunk["choices"] for one in choice["delta"].get("images", ())]
        usage = chunks[-2]["usage"]
    else:
        body = customer.post(**asked).json()
        pictures, usage = body["choices"][0]["message"]["images"], body["usage"]

    assert [one["image_url"]["url"][:22] for one in pictures] == ["data:image/png;base64,"]
    assert usage["completion_tokens_details"]["image_tokens"] == 1290
    assert cost_nanos(usage) == before - customer.balance_nanos() > 1290 * IMAGE_TOKEN_PICOS // 1000
    assert customer.receipts()[0].hold_nanos >= cost_nanos(usage)


def test_a_stream_has_each_picture_complete_and_the_cost_with_the_last(customer):
    answer = ask(customer, n=2, stream=True)

    assert answer.headers["content-type"].startswith("text/event-stream")
    events = read_events(answer.text.replace("event: image_generation.completed\n", ""))
    assert [one if isinstance(one, str) else one["type"] for one in events] == ["image_generation.completed"] * 2 + ["[DONE]"]
    assert "usage" not in events[0]
    assert cost_nanos(events[1]["usage"]) == 2 * IMAGE_PICOS // 1000 == customer.receipts()[0].amount_nanos


def test_pictures_to_begin_with_are_sent_along(customer):
    answer = ask(
        customer,
        model="test/image-tokens",
        provider={"order": ["openai"]},
        input_references=[{"type": "image_url", "image_url": {"url": PIXEL}}],
    )

    assert answer.status_code == 200, answer.text
    assert answer.json()["usage"]["prompt_tokens"] == 2 + 85


def test_a_provider_that_fails_is_replaced_and_one_that_reports_nothing_is_charged_by_the_piece(customer):
    before = customer.balance_nanos()

    answer = ask(customer, prompt="[[simulate: status=503 only=alpha missing_usage]] a road")

    assert answer.status_code == 200
    assert customer.receipts()[0].provider == "beta"
    dearer = IMAGE_PICOS + IMAGE_PICOS // 100
    assert cost_nanos(answer.json()["usage"]) == dearer // 1000 == before - customer.balance_nanos()


def test_tokens_that_nobody_reported_are_estimated_as_the_most(customer):
    answer = ask(customer, model="test/image-tokens", prompt="[[simulate: missing_usage]]")

    assert answer.status_code == 200
    (receipt,) = customer.receipts()
    assert receipt.is_estimate is True
    assert 0 < receipt.amount_nanos <= receipt.hold_nanos


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"prompt": ""}, "prompt"),
        ({"n": 0}, "n"),
        ({"n": 11}, "n"),
        ({"size": "1024"}, "size"),
        ({"size": "9000x9000"}, "size"),
        ({"size": "1024x1024", "resolution": "2K"}, "resolution"),
        ({"size": "1024x1024", "aspect_ratio": "1:1"}, "aspect_ratio"),
        ({"size": "2K", "resolution": "4K"}, "resolution"),
        ({"aspect_ratio": "7:5"}, "aspect_ratio"),
        ({"quality": "best"}, "quality"),
        ({"output_format": "gif"}, "output_format"),
        ({"background": "transparent", "output_format": "jpeg"}, "output_format"),
        ({"output_compression": 101}, "output_compression"),
        ({"input_references": [{"type": "image_url", "image_url": {"url": "file:///etc/passwd"}}]}, "input_references[0]"),
        ({"model": "test/chat"}, "model"),
        ({"model": "test/image-unpriced"}, ""),
    ],
)
def test_mistakes_are_told_with_the_field_and_cost_nothing(customer, fields, param):
    before = customer.balance_nanos()

    answer = ask(customer, **fields)

    assert answer.status_code == (404 if fields.get("model") == "test/image-unpriced" else 400), answer.text
    assert answer.json()["error"]["metadata"].get("param", "").startswith(param)
    assert customer.balance_nanos() == before


@pytest.mark.parametrize("word", ["malformed", "empty", "status=429", "error_in_stream"])
def test_what_is_unfinished_is_free(customer, word):
    before = customer.balance_nanos()

    answer = ask(customer, prompt=f"[[simulate: {word}]] a road", provider={"only": ["alpha"]})

    assert answer.status_code in (429, 500, 502), answer.text
    assert customer.balance_nanos() == before


def test_a_hold_covers_every_picture_and_is_refused_whole(new_customer):
    customer = new_customer(credit_nanos=3 * IMAGE_PICOS // 1000 - 1)

    assert ask(customer, n=3).status_code == 402
    assert ask(customer, n=2).status_code == 200


def test_the_official_client_gets_pictures_whole_and_streamed(customer):
    with openai.OpenAI(base_url=f"{customer.stack.url}/api/v1", api_key=customer.secret) as client:
        order = {"provider": {"order": ["openai"]}}
        answer = client.images.generate(model="test/image-tokens", prompt="a road", size="1024x1024", quality="low", extra_body=order)
        events = list(client.images.generate(model="test/image-tokens", prompt="a road", stream=True))

    assert size_of({"b64_json": answer.data[0].b64_json}) == (1024, 1024)
    assert answer.usage.output_tokens == 272
    assert [one.type for one in events] == ["image_generation.completed"]
    assert events[0].usage.output_tokens == 1056


def test_the_router_s_own_client_reads_the_answer(customer):
    from openrouter import OpenRouter  # noqa: PLC0415 -- slow to import

    with OpenRouter(api_key=customer.secret, server_url=f"{customer.stack.url}/api/v1") as client:
        answer = client.images.generate(model="test/image-pieces", prompt="a road", n=2)

    assert len(answer.data) == 2
    assert answer.data[0].media_type == "image/png"


def test_unfinished_pictures_are_not_sent_and_that_is_said(customer):
    answer = ask(customer, stream=True, partial_images=2)
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-tollway-dropped-parameters"] == "partial_images"
    assert answer.text.count("event: image_generation.completed") == 1
    assert "partial_images" not in customer.stack.recorder.calls[-1].json()


@pytest.mark.parametrize("wrong", [{"partial_images": 4, "stream": True}, {"partial_images": 1}])
def test_a_wrong_number_of_unfinished_pictures_is_refused_by_name(customer, wrong):
    answer = ask(customer, **wrong)
    assert (answer.status_code, answer.json()["error"]["metadata"]["param"]) == (400, "partial_images")
