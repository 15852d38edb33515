"""AWS's binary event stream taken apart, by botocore's own parser: each message becomes an event of its name and JSON."""

from botocore.eventstream import EventStreamBuffer, ParserError

from gateway.dialects.bedrock_answers import EXCEPTION
from gateway.relay.sse import MalformedStream, SseEvent


class BedrockFrames:
    """Turns pieces of whatever size the network gave into events, checksums verified."""

    __slots__ = ("_buffer",)

    def __init__(self) -> None:
        self._buffer = EventStreamBuffer()

    def feed(self, piece: bytes) -> list[SseEvent]:
        """Return the events that ``piece`` completes. Raises: MalformedStream."""
        self._buffer.add_data(piece)
        events: list[SseEvent] = []
        try:
            for message in self._buffer:
                headers = message.headers
                if headers.get(":message-type") == "event":
                    name = str(headers.get(":event-type"))
                else:
                    name = EXCEPTION + str(headers.get(":exception-type") or headers.get(":error-code") or "")
                events.append(SseEvent(name, message.payload))
        except ParserError as error:
            raise MalformedStream(str(error)) from error
        return events

    def finish(self) -> list[SseEvent]:
        """Return nothing: a message that was cut short says nothing."""
        return []
