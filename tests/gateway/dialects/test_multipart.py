"""Forms: what is written is read back, and what is none is refused with a word, never with a crash."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dialects.base import InvalidRequest
from gateway.dialects.multipart import FormFile, read_form, write_form

NAMES = st.from_regex(r"[a-z_]{1,12}(\[\])?", fullmatch=True)


@given(
    fields=st.lists(st.tuples(NAMES, st.text(max_size=40)), max_size=6),
    files=st.dictionaries(NAMES, st.binary(max_size=200), max_size=3),
)
def test_what_is_written_is_read_back(fields, files):
    sent = [(name, FormFile("road.wav", "audio/wav", data)) for name, data in files.items()]
    body, content_type = write_form(fields, sent)

    form = read_form(body, content_type)

    expected = {}
    for name, text in fields:
        expected.setdefault(name, []).append(text)
    assert form.fields == expected
    assert form.files == dict(sent)


@given(data=st.binary(max_size=300), boundary=st.sampled_from(["b", "road", "--"]))
def test_any_bytes_are_a_form_or_are_refused(data, boundary):
    for body in (data, f"--{boundary}\r\n".encode() + data, data + f"\r\n--{boundary}--".encode()):
        with contextlib.suppress(InvalidRequest):
            read_form(body, f"multipart/form-data; boundary={boundary}")


@pytest.mark.parametrize(
    "content_type", ["multipart/form-data", "multipart/form-data; boundary=", "multipart/form-data; boundary=" + "x" * 201]
)
def test_a_form_names_its_boundary(content_type):
    with pytest.raises(InvalidRequest, match="boundary"):
        read_form(b"--x--", content_type)


def test_a_form_of_very_many_parts_is_refused():
    body, content_type = write_form([("a", "1")] * 65, [])

    with pytest.raises(InvalidRequest, match="64 parts"):
        read_form(body, content_type)


def test_a_quote_in_a_name_cannot_begin_a_header_of_its_own():
    body, content_type = write_form([], [("file", FormFile('a"\r\nX-Evil: 1\r\n\r\n.wav', "audio/wav\r\nX: 1", b"data"))])

    form = read_form(body, content_type)

    assert form.files["file"].data == b"data"
    assert b"\r\nX" not in body
