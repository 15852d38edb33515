"""Anthropic's signatures survive a LiteLLM proxy in the middle, there and back."""

import msgspec
from msgspec.structs import replace

from gateway.dialects.assembly import Assembler
from gateway.dialects.chat_answers import ChatStreamDecoder, decode_chat_answer
from gateway.dialects.chat_completions import ChatCompletionsDialect
from tests.gateway.dialects.builders import endpoint, provider, request, run_stream

BLOCKS = [{"type": "thinking", "thinking": "Hm. So.", "signature": "sig=="}, {"type": "redacted_thinking", "data": "dark"}]
LITELLM = replace(provider("house"), like="litellm")


def sent_blocks(message):
    body = request(messages=[{"role": "user", "content": "hi"}, message, {"role": "user", "content": "go on"}])
    call = ChatCompletionsDialect().encode_request(body, endpoint(), LITELLM, stream=False, max_tokens=None)
    return msgspec.json.decode(call.body)["messages"][1].get("thinking_blocks")


def test_whole_thoughts_go_back_as_they_came():
    message = {"role": "assistant", "content": "Yes.", "reasoning_content": "Hm. So.", "thinking_blocks": BLOCKS}
    answer = decode_chat_answer(msgspec.json.encode({"choices": [{"message": message, "finish_reason": "stop"}]}))

    said = answer.body["choices"][0]["message"]
    assert said["reasoning"] == "Hm. So."
    assert [detail["format"] for detail in said["reasoning_details"]] == ["anthropic-claude-v1"] * 2
    assert sent_blocks(said) == BLOCKS


def test_streamed_thoughts_go_back_as_they_came():
    pieces = [
        {"reasoning_content": "Hm. ", "thinking_blocks": [{"type": "thinking", "thinking": "Hm. ", "signature": None}]},
        {"reasoning_content": "So.", "thinking_blocks": [{"type": "thinking", "thinking": "So.", "signature": None}]},
        {"reasoning_content": "", "thinking_blocks": [{"type": "thinking", "thinking": "", "signature": "sig=="}]},
        {"content": "Yes."},
    ]
    whole = Assembler()
    for chunk in run_stream(ChatStreamDecoder(), *({"choices": [{"index": 0, "delta": piece}]} for piece in pieces)):
        whole.add(chunk)

    message = whole.body()["choices"][0]["message"]
    assert (message["reasoning"], message["content"]) == ("Hm. So.", "Yes.")
    assert sent_blocks(message) == BLOCKS[:1]


def test_thoughts_without_a_signature_or_of_another_model_are_not_replayed():
    foreign = {"type": "reasoning.text", "text": "x", "format": "unknown", "index": 0}
    details = [foreign, {"type": "reasoning.text", "text": "y", "index": 1}]
    assert sent_blocks({"role": "assistant", "content": "Yes.", "reasoning_details": details}) is None
