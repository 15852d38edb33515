"""Free text read out of JSON while it arrives: wherever it is cut, the text is the same, and none of it is lost."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dialects.free_text import FreeText
from tests.gateway.dialects.conversations import _cut

texts = st.text(st.characters(codec="utf-8", exclude_categories=("Cs",)), max_size=30) | st.text(
    st.sampled_from('"\\/\n\tu{}😀é '), max_size=30
)


def read(*pieces):
    text = FreeText()
    return "".join([*map(text.feed, pieces), text.finish()])


@given(st.data(), texts, st.booleans(), st.sampled_from(["", " ", "\n  "]))
def test_it_is_the_same_wherever_the_pieces_are_cut(data, words, ascii_only, space):
    source = f'{space}{{{space}"input"{space}:{space}{json.dumps(words, ensure_ascii=ascii_only)}{space}}}{space}'
    pieces = [piece for half in _cut(data.draw, source) for piece in _cut(data.draw, half)]
    assert read(*pieces) == read(*source) == words


@given(texts)
def test_each_piece_tells_what_it_completes_at_once(words):
    text = FreeText()
    text.feed('{"input":"')
    source = json.dumps(words, ensure_ascii=False)[1:-1]
    told = ""
    for place, letter in enumerate(source, 1):
        told += text.feed(letter)
        assert words.startswith(told)
        assert "\\" in source or told == words[:place]
    assert told == words
    assert not text.is_closed
    text.feed('"')
    assert text.is_closed


@given(st.data(), st.text(max_size=40))
def test_whatever_comes_streamed_and_whole_agree_and_nothing_breaks(data, source):
    for begun in ("", '{"input": "'):
        pieces = _cut(data.draw, begun + source)
        assert read(*pieces) == read(begun + source)
        read(*pieces).encode()


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("", ""),
        ("{}", ""),
        ('{"input": "cut sho', "cut sho"),
        ('{"input": "cut in an escape \\', "cut in an escape "),
        ('{"input": "cut in a number \\u00', "cut in a number "),
        ('{"input": "half a pair \\ud83d', "half a pair \ufffd"),
        ('{"input": "half \\ud83d!"}', "half \ufffd!"),
        ('{"input": "other half \\ude00"}', "other half \ufffd"),
        ('{"input": "\\ud83d\\ud83d\\ude00"}', "\ufffd😀"),
        ('{"input": "\\ud83d\\n"}', "\ufffd\n"),
        ('{"input": "C:\\dir \\uzzzz"}', "C:\\dir \\uzzzz"),
        ('{"input": "raw\nline"}', "raw\nline"),
        ('{"why": "first", "input": "then"}', "then"),
        ('{"text": "another field"}', '{"text": "another field"}'),
        ('{"input": 5}', '{"input": 5}'),
        ('["a"]', '["a"]'),
        ("print('no JSON at all')", "print('no JSON at all')"),
        (" " * 200 + '{"input": "far"}', "far"),
    ],
)
def test_odd_arguments(source, words):
    assert read(source) == read(*source) == words


def test_a_long_text_takes_time_in_proportion():
    source = msgspec.json.encode({"other": "x" * 400_000}).decode()
    assert len(read(*(source[at : at + 8] for at in range(0, len(source), 8)))) == len(source)
