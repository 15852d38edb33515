"""Forms with files (multipart/form-data, RFC 7578), read and written. Pure.

The body is in memory under the cap of all bodies, and is cut at its boundaries without being copied line by line.
"""

import hashlib
from email.message import Message
from email.utils import collapse_rfc2231_value
from typing import NamedTuple

from gateway.dialects.base import InvalidRequest

_PARTS_MAX = 64
_HEAD_MAX_BYTES = 4_096


class FormFile(NamedTuple):
    """A file of a form."""

    name: str
    content_type: str
    data: bytes


class Form(NamedTuple):
    """What a form has: fields may be given several times."""

    fields: dict[str, list[str]]
    files: dict[str, FormFile]


def _parse(header: str) -> Message:
    message = Message()
    message["x"] = header
    return message


def boundary_of(content_type: str) -> bytes:
    """Return the boundary that a Content-Type names. Raises: InvalidRequest."""
    boundary = _parse(content_type).get_param("boundary", header="x")
    if not isinstance(boundary, str) or not 1 <= len(boundary) <= 200:  # noqa: PLR2004 -- RFC 2046 allows 70; clients do more
        raise InvalidRequest("The Content-Type of a form must name its boundary.")
    return boundary.encode("latin-1", "replace")


def read_form(data: bytes, content_type: str) -> Form:
    """Return the fields and files of a form. Raises: InvalidRequest for what is none."""
    mark = b"--" + boundary_of(content_type)
    start = data.find(mark)
    if start < 0 or (start and not data[:start].endswith(b"\n")):
        raise InvalidRequest("The form does not have the boundary that its Content-Type names.")
    fields: dict[str, list[str]] = {}
    files: dict[str, FormFile] = {}
    place, count = start + len(mark), 0
    while data[place : place + 2] != b"--":
        count += 1
        end = data.find(b"\r\n" + mark, place)
        head_end = data.find(b"\r\n\r\n", place, place + _HEAD_MAX_BYTES)
        if end < 0 or head_end < 0 or head_end > end or count > _PARTS_MAX:
            raise InvalidRequest(f"The form is cut off, malformed, or has more than {_PARTS_MAX} parts.")
        name, value = _read_part(data[place:head_end], data[head_end + 4 : end])
        if isinstance(value, FormFile):
            files[name] = value
        else:
            fields.setdefault(name, []).append(value)
        place = end + 2 + len(mark)
    return Form(fields, files)


def _read_part(head: bytes, content: bytes) -> tuple[str, str | FormFile]:
    headers: dict[str, str] = {}
    for line in head.decode("utf-8", "replace").split("\r\n"):
        key, _, text = line.partition(":")
        headers[key.strip().lower()] = text.strip()
    disposition = _parse(headers.get("content-disposition", ""))
    name, filename = disposition.get_param("name", header="x"), disposition.get_param("filename", header="x")
    if not isinstance(name, str):
        raise InvalidRequest("A part of the form has no name.")
    if filename is not None:
        shown = filename if isinstance(filename, str) else collapse_rfc2231_value(filename)
        return name, FormFile(shown[:255], headers.get("content-type", "application/octet-stream"), content)
    try:
        return name, content.decode()
    except UnicodeDecodeError:
        raise InvalidRequest(f"{name} must be text, or a file with a filename.", name) from None


def write_form(fields: list[tuple[str, str]], files: list[tuple[str, FormFile]]) -> tuple[bytes, str]:
    """Return a form's body and its Content-Type. The boundary comes from the content, so that equal forms are equal."""
    digest = hashlib.sha256()
    for name, text in fields:
        digest.update(f"{name}={text}\n".encode())
    for _, file in files:
        digest.update(file.data)
    boundary = f"tollway-{digest.hexdigest()[:40]}"
    pieces: list[bytes] = []
    for name, text in fields:
        pieces.append(f'--{boundary}\r\nContent-Disposition: form-data; name="{_quoted(name)}"\r\n\r\n{text}\r\n'.encode())
    for name, file in files:
        disposition = f'form-data; name="{_quoted(name)}"; filename="{_quoted(file.name)}"'
        pieces.append(f"--{boundary}\r\nContent-Disposition: {disposition}\r\nContent-Type: {_line(file.content_type)}\r\n\r\n".encode())
        pieces += (file.data, b"\r\n")
    pieces.append(f"--{boundary}--\r\n".encode())
    return b"".join(pieces), f"multipart/form-data; boundary={boundary}"


def _line(text: str) -> str:
    return "".join(letter for letter in text if letter.isprintable())


def _quoted(text: str) -> str:
    return _line(text).replace("\\", "_").replace('"', "%22")
