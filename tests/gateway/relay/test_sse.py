"""The event-stream decoder: every legal framing, every chunk border, and a bound."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.relay.sse import KEEPALIVE, SseDecoder, SseEvent, SseTooLarge, encode_comment, encode_data, encode_event


def decode_all(*pieces: bytes) -> list[SseEvent]:
    decoder = SseDecoder()
    return [event for piece in pieces for event in decoder.feed(piece)]


@pytest.mark.parametrize(
    ("stream", "events"),
    [
        (b"data: a\n\n", [("", b"a")]),
        (b"data:a\n\n", [("", b"a")]),
        (b"data:  a\n\n", [("", b" a")]),
        (b"data: a\r\n\r\n", [("", b"a")]),
        (b"data: a\r\r", [("", b"a")]),
        (b"data: a\r\n\n", [("", b"a")]),
        (b"data: a\ndata: b\n\n", [("", b"a\nb")]),
        (b"data\n\n", [("", b"")]),
        (b"event: error\ndata: {}\n\ndata: x\n\n", [("error", b"{}"), ("", b"x")]),
        (b": OPENROUTER PROCESSING\n\ndata: a\n\n", [("", b"a")]),
        (b"data: a\n: comment between\ndata: b\n\n", [("", b"a\nb")]),
        (b"id: 7\nretry: 10\ndata: a\n\n", [("", b"a")]),
        (b"event: nothing\n\ndata: a\n\n", [("", b"a")]),
        (b"\n\n\ndata: a\n\n\n\n", [("", b"a")]),
        (b"\xef\xbb\xbfdata: a\n\n", [("", b"a")]),
        ("data: žluťoučký 🐎\n\n".encode(), [("", "žluťoučký 🐎".encode())]),
        (b"data: a: b\n\n", [("", b"a: b")]),
        (b"data: unfinished\n", []),
    ],
)
def test_every_legal_framing_gives_its_events_whole_and_byte_by_byte(stream, events):
    assert decode_all(stream) == events
    assert decode_all(*(stream[at : at + 1] for at in range(len(stream)))) == events


_TEXT = st.text(alphabet=st.sampled_from('aé漢🐎 :{}"\\'), max_size=12)
_EVENTS = st.lists(st.tuples(st.sampled_from(["", "error", "message_start"]), st.lists(_TEXT, min_size=1, max_size=3)), max_size=5)


@given(events=_EVENTS, ending=st.sampled_from(["\n", "\r\n", "\r"]), bom=st.booleans(), comments=st.booleans(), data=st.data())
def test_borders_of_pieces_never_change_the_events(events, ending, bom, comments, data):
    lines = []
    for name, values in events:
        lines += [": sign of life", ""] if comments else []
        lines += [f"event: {name}"] if name else []
        lines += [f"data: {value}" for value in values]
        lines += [""]
    stream = (b"\xef\xbb\xbf" if bom else b"") + "".join(line + ending for line in lines).encode()
    borders = sorted(data.draw(st.sets(st.integers(0, len(stream)), max_size=20)))
    edges = [0, *borders, len(stream)]
    pieces = [stream[start:end] for start, end in pairwise(edges)]
    assert decode_all(*pieces) == [SseEvent(name, "\n".join(values).encode()) for name, values in events]


def test_a_stream_that_ends_without_its_blank_line_gives_its_last_event_at_the_end():
    decoder = SseDecoder()
    assert decoder.feed(b"data: [DONE]") == []
    assert decoder.finish() == [SseEvent("", b"[DONE]")]
    assert decoder.finish() == []


@pytest.mark.parametrize(
    "pieces",
    [[b"data: " + b"x" * 200 + b"\n\n"], [b"data: "] + [b"x" * 20] * 10, [b"data: xxxxxxxxx\n"] * 12],
    ids=["one piece", "an endless line", "endless lines"],
)
def test_an_event_larger_than_the_bound_is_refused(pieces):
    decoder = SseDecoder(max_event_bytes=100)
    with pytest.raises(SseTooLarge):
        _feed_all(decoder, pieces)


def _feed_all(decoder: SseDecoder, pieces: list[bytes]) -> None:
    for piece in pieces:
        decoder.feed(piece)


def test_many_small_events_never_add_up_to_the_bound():
    decoder = SseDecoder(max_event_bytes=100)
    assert sum(len(decoder.feed(b"event: e\ndata: 0123456789\n\n")) for _ in range(100)) == 100


def test_what_the_encoders_write_the_decoder_reads():
    stream = encode_data(b"{}") + KEEPALIVE + encode_comment("here") + encode_event("error", b"a\nb") + encode_event("empty", b"")
    assert decode_all(stream) == [("", b"{}"), ("error", b"a\nb"), ("empty", b"")]
