"""What a ``prompt`` may be, and what a client is told of every other."""

import msgspec
import pytest

from gateway.dialects.base import InvalidRequest
from gateway.dialects.chat_client import ChatClient
from gateway.dialects.prompts import message_from_prompt, read_prompt
from tests.gateway.dialects.conversations import CLOSING, HEAD

CHAT = ChatClient()


@pytest.mark.parametrize("prompt", ["hello", ["hello"]])
def test_a_text_and_a_list_of_one_text_are_that_text(prompt):
    assert read_prompt(prompt) == "hello"
    assert message_from_prompt(prompt) == {"role": "user", "content": "hello"}


@pytest.mark.parametrize(
    ("prompt", "words"),
    [
        (None, "is required"),
        ("", "is required"),
        ([], "is required"),
        ([""], "is required"),
        ([15339], "not token ids"),
        ([15339, 1917], "not token ids"),
        ([[15339], [1917, 2]], "not token ids"),
        (7, "not token ids"),
        (["a", "b", "c"], "send these 3 as 3 requests"),
        (["a", 1], "must be one text (a string"),
        ([[]], "must be one text (a string"),
        (True, "must be one text (a string"),
        ([[[1]]], "must be one text (a string"),
        ({"text": "a"}, "must be one text (a string"),
        ([True, False], "must be one text (a string"),
        (0, "not token ids"),
    ],
)
def test_anything_else_is_refused_with_the_reason(prompt, words):
    with pytest.raises(InvalidRequest) as refused:
        read_prompt(prompt)
    assert refused.value.param == "prompt"
    assert words in refused.value.message


def chat(**fields):
    return CHAT.decode_request(msgspec.json.encode({"model": "author/model", **fields}))


@pytest.mark.parametrize("fields", [{"prompt": "grüß dich"}, {"prompt": "grüß dich", "messages": None}])
def test_a_chat_takes_a_prompt_as_one_message_and_no_provider_sees_the_field(fields):
    request = chat(temperature=0.5, **fields)

    assert request.body == {
        "model": "author/model",
        "temperature": 0.5,
        "messages": [{"role": "user", "content": "grüß dich"}],
    }
    assert (request.message_count, request.prompt_bytes) == (1, len("grüß dich".encode()))


def test_an_empty_prompt_beside_messages_is_no_prompt():
    messages = [{"role": "user", "content": "hello"}]

    request = chat(messages=messages, prompt=None)

    assert request.body == {"model": "author/model", "messages": messages}
    assert request.native_dialect == ""


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"prompt": "a", "messages": [{"role": "user", "content": "b"}]}, "prompt"),
        ({"prompt": "a", "messages": []}, "prompt"),
        ({"prompt": [1, 2]}, "prompt"),
        ({"prompt": ["a", "b"]}, "prompt"),
        ({"prompt": ""}, "prompt"),
        ({"prompt": None}, "messages"),
        ({}, "messages"),
    ],
)
def test_a_chat_with_both_or_neither_or_another_prompt_is_refused(fields, param):
    with pytest.raises(InvalidRequest) as refused:
        chat(**fields)
    assert refused.value.param == param


def test_answers_to_a_prompt_carry_text_and_those_to_messages_do_not():
    encoded = []
    for request in (chat(prompt="hello"), chat(messages=[{"role": "user", "content": "hello"}])):
        end = {"index": 0, "finish_reason": "stop"}
        whole = CHAT.encode_answer({"choices": [{**end, "message": {"content": "Hi."}}]}, request, HEAD, CLOSING)
        stream = CHAT.new_stream_encoder(request, HEAD).encode([{"choices": [{**end, "delta": {"content": "Hi."}}]}])
        encoded.append([msgspec.json.decode(data)["choices"][0] for data in (whole, stream.removeprefix(b"data: "))])
    prompted, chatted = encoded

    assert prompted == [{**choice, "text": "Hi."} for choice in chatted]
    assert [choice.get("message") or choice["delta"] for choice in prompted] == [{"content": "Hi."}] * 2
