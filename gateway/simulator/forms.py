"""What the simulator's formats share that answer in one piece: no streams, errors of the host's chats; forms with files. Pure."""

from collections.abc import Iterator
from urllib.parse import parse_qsl

from gateway.dialects.base import InvalidRequest
from gateway.dialects.multipart import FormFile, read_form
from gateway.simulator.directives import Directives
from gateway.simulator.replies import SimReply, SimRequest
from gateway.simulator.wire import BadBody, Frame, Json, Wire


class FormWire:
    """The base of such a format."""

    def __init__(self, errors: Wire) -> None:
        self._errors = errors

    def frames(self, reply: SimReply, request: SimRequest, *, directives: Directives) -> Iterator[Frame]:
        """Nothing asks for a stream."""
        del reply, request, directives
        return iter(())

    def error(self, status: int, message: str) -> Json:
        """Write an error body."""
        return self._errors.error(status, message)

    def error_frame(self, message: str) -> Frame:
        """Write an error inside a stream."""
        return self._errors.error_frame(message)


def object_of(body: bytes, content_type: str, query: bytes) -> Json:
    """Return a form's fields and, under ``files``, its files by name; of a bare file, what its address says of it. Raises: BadBody."""
    if not content_type.startswith("multipart/"):
        return {**dict(parse_qsl(query.decode("latin-1"))), "files": {"file": FormFile("file", content_type, body)}}
    try:
        form = read_form(body, content_type)
    except InvalidRequest as error:
        raise BadBody(error.message) from error
    return {**{name: values[-1] for name, values in form.fields.items()}, "files": form.files}
