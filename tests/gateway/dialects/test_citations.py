"""Citations of documents: Anthropic's own, from its answers to its clients, whole and streamed."""

import msgspec

from catalog.types import Usage
from gateway.dialects.assembly import answer_from_stream
from gateway.dialects.client import Closing, Head
from gateway.dialects.messages_answers import MessagesStreamDecoder, decode_messages_answer
from gateway.dialects.messages_client import MessagesClient
from gateway.dialects.responses_client import ResponsesClient
from gateway.relay.sse import SseDecoder, encode_event

PLACE = {
    "type": "char_location",
    "cited_text": "The grass is green.",
    "document_index": 0,
    "document_title": "Nature",
    "start_char_index": 0,
    "end_char_index": 20,
    "file_id": None,
}
WEB = {"type": "web_search_result_location", "url": "https://example.com", "title": "T", "cited_text": "c", "encrypted_index": "e"}
USAGE = {"input_tokens": 9, "output_tokens": 5}
WHOLE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "m",
    "content": [{"type": "text", "text": "Green", "citations": [PLACE, WEB]}],
    "stop_reason": "end_turn",
    "usage": USAGE,
}
EVENTS = [
    {"type": "message_start", "message": {**WHOLE, "content": [], "stop_reason": None}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": "", "citations": []}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Green"}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "citations_delta", "citation": PLACE}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "citations_delta", "citation": WEB}},
    {"type": "content_block_stop", "index": 0},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": USAGE},
    {"type": "message_stop"},
]
HEAD, CLOSING = Head("gen-1", "a/m", "Host", 7), Closing(Usage(input_tokens=9, output_tokens=5), 10, 5)
CLIENT = MessagesClient()
ASKED = CLIENT.decode_request(b'{"model":"a/m","max_tokens":9,"messages":[{"role":"user","content":"x"}]}')


def test_a_whole_answer_cites_what_its_provider_cited():
    body = decode_messages_answer(msgspec.json.encode(WHOLE)).body
    assert body["choices"][0]["message"]["citations"] == [PLACE]
    (block,) = msgspec.json.decode(CLIENT.encode_answer(body, ASKED, HEAD, CLOSING))["content"]
    assert (block["text"], [one["type"] for one in block["citations"]]) == ("Green", [WEB["type"], PLACE["type"]])
    assert block["citations"][1] == PLACE


def test_a_stream_cites_what_its_provider_cited():
    decoder, encoder = MessagesStreamDecoder(), CLIENT.new_stream_encoder(ASKED, HEAD)
    source = b"".join(encode_event(event["type"], msgspec.json.encode(event)) for event in EVENTS)
    written = b"".join(encoder.encode(decoder.decode(event)) for event in SseDecoder().feed(source)) + encoder.finish(CLOSING)
    told = [msgspec.json.decode(event.data) for event in SseDecoder().feed(written)]
    cited = [event["delta"]["citation"] for event in told if event.get("delta", {}).get("type") == "citations_delta"]
    assert [one["type"] for one in cited] == [PLACE["type"], WEB["type"]]
    assert cited[0] == PLACE
    assert answer_from_stream(source, MessagesStreamDecoder()).body["choices"][0]["message"]["citations"] == [PLACE]


def test_what_other_hosts_call_citations_is_no_citation_of_anthropics():
    body = {"choices": [{"index": 0, "message": {"content": "x", "citations": ["https://example.com", {"type": "odd"}]}}]}
    (block,) = msgspec.json.decode(CLIENT.encode_answer(body, ASKED, HEAD, CLOSING))["content"]
    assert block["citations"] is None
    responses = ResponsesClient()
    asked = responses.decode_request(b'{"model":"a/m","input":"x"}')
    encoder = responses.new_stream_encoder(asked, HEAD)
    encoder.encode([{"choices": [{"index": 0, "delta": {"content": "x", "citations": [PLACE]}}]}])
    assert b"Nature" not in encoder.finish(CLOSING)
