"""What translating costs, for each client's format and each provider's: ``python -m bench translation``.

No network and no stores: the functions that the relay calls, on a request of about 2 KiB and answers of about 1 KiB. Each figure is the
median of many rounds, in processor time of this thread.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from bench.translation_samples import ANSWERS, REQUESTS, STREAMS
from catalog.types import EndpointSpec, ProviderSpec, RateCard, Usage
from gateway.dialects.chat_client import ChatClient
from gateway.dialects.client import ClientDialect, Closing, Head
from gateway.dialects.messages_client import MessagesClient
from gateway.dialects.registry import dialect_for
from gateway.dialects.responses_client import ResponsesClient
from gateway.relay.sse import SseDecoder

REQUEST_GOAL_US, CHUNK_GOAL_US, PASS_GOAL_US = 150, 10, 5
CLIENTS: Final[dict[str, ClientDialect]] = {"chat": ChatClient(), "messages": MessagesClient(), "responses": ResponsesClient()}
# Client and provider that speak the same: nothing is translated, only the needed edits are made.
_SAME: Final = {("chat", "chat_completions"), ("messages", "messages"), ("responses", "responses")}
_CLOSING: Final = Closing(Usage(input_tokens=420, output_tokens=200), 4_260_000, 1_260_000)
_HEAD: Final = Head("gen-0123456789abcdef0123456789abcdef", "author/model", "Host", 1_790_000_000)
_BEGIN: Final = "## Translation\n"


@dataclass(frozen=True, slots=True)
class Translation:
    """What one pair of formats costs, in microseconds at the median: a request going out, its answer coming back, both, a chunk."""

    client: str
    provider: str
    request_us: float
    answer_us: float
    both_us: float
    chunk_us: float | None  # None: the provider's streams have a framing of their own

    @property
    def is_same(self) -> bool:
        """Whether both speak the same."""
        return (self.client, self.provider) in _SAME

    @property
    def chunk_goal_us(self) -> int:
        """What a chunk may cost."""
        return PASS_GOAL_US if self.is_same else CHUNK_GOAL_US


def measure_us(call: Callable[[], object], *, rounds: int, calls: int) -> float:
    """Return the microseconds of one call, in the median of the rounds."""
    took_ns = []
    for _ in range(rounds):
        began_ns = time.thread_time_ns()
        for _ in range(calls):
            call()
        took_ns.append(time.thread_time_ns() - began_ns)
    return statistics.median(took_ns) / calls / 1_000


def measure_pair(client: str, provider: str, *, rounds: int = 200) -> Translation:
    """Measure one pair; ``rounds`` of 20 calls for each figure."""
    reads, speaks = CLIENTS[client], dialect_for(provider)
    spec = ProviderSpec(slug="host", name="Host", base_url="https://host.example/v1", dialect=provider, auth="bearer")  # type: ignore[arg-type]
    card = RateCard(rates={})
    endpoint = EndpointSpec(
        id="author/model@host", model="author/model", provider="host", provider_model_id="model-1", tag="host", price_version_id=1,
        price=card, cost=card, supported_parameters=frozenset({"temperature", "tools", "stop"}),
    )  # fmt: skip
    asked, answered = msgspec.json.encode(REQUESTS[client]), msgspec.json.encode(ANSWERS[provider])
    request = reads.decode_request(asked)

    def send() -> object:
        return speaks.encode_request(reads.decode_request(asked), endpoint, spec, stream=False, max_tokens=None)

    def receive() -> object:
        return reads.encode_answer(speaks.decode_answer(answered).body, request, _HEAD, _CLOSING)

    def both() -> object:
        return send(), receive()

    return Translation(
        client,
        provider,
        measure_us(send, rounds=rounds, calls=20),
        measure_us(receive, rounds=rounds, calls=20),
        measure_us(both, rounds=rounds, calls=20),
        _measure_chunk(client, provider, rounds=rounds) if provider in STREAMS else None,
    )


def _measure_chunk(client: str, provider: str, *, rounds: int) -> float:
    reads, speaks = CLIENTS[client], dialect_for(provider)
    request = reads.decode_request(msgspec.json.encode({**REQUESTS[client], "stream": True}))
    frames, decoder, encoder = SseDecoder(), speaks.new_stream_decoder(), reads.new_stream_encoder(request, _HEAD)

    def relay(piece: bytes) -> bytes:
        chunks = []
        for event in frames.feed(piece):
            chunks.extend(decoder.decode(event))
        return encoder.encode(chunks) if chunks else b""

    opening, piece = STREAMS[provider]
    relay(opening + piece)
    if b" word" not in relay(piece):
        msg = f"{provider} to {client}: a word was lost"
        raise AssertionError(msg)
    return measure_us(lambda: relay(piece), rounds=rounds, calls=100)


def measure_all(*, rounds: int = 200) -> list[Translation]:
    """Measure every pair of a client's format and a provider's."""
    return [measure_pair(client, provider, rounds=rounds) for client in CLIENTS for provider in ANSWERS]


def find(translations: list[Translation], client: str, provider: str) -> Translation | None:
    """Return the figures of one pair."""
    return next((one for one in translations if (one.client, one.provider) == (client, provider)), None)


def render_section(translations: list[Translation]) -> str:
    """Return the part of the page about translation, its heading included; '' when nothing was measured."""
    if not translations:
        return ""
    rows = []
    for one in translations:
        chunk = "" if one.chunk_us is None else f"{one.chunk_us:.1f}"
        how = " (passes through)" if one.is_same else ""
        rows.append(f"| {one.client} | {one.provider}{how} | {one.request_us:.0f} | {one.answer_us:.0f} | {one.both_us:.0f} | {chunk} |")
    return (
        f"{_BEGIN}\nThe functions that the relay calls, without network and stores, in one thread: a request of 2 KiB with tools read, "
        "checked and written for the provider; its answer of 1 KiB read and written for the client; one event with one word, from the "
        "provider's bytes to the client's. Medians, in microseconds of processor time.\n\n"
        "| client's format | provider's format | request | answer | both | chunk |\n|---|---|---|---|---|---|\n" + "\n".join(rows)
    )


def replace_section(page: Path, translations: list[Translation]) -> None:
    """Write the section into a page that has it already, or before its history. The rest of the page stays."""
    text = page.read_text(encoding="utf-8")
    section = render_section(translations) + "\n\n"
    before, found, after = text.partition(_BEGIN)
    if found:
        _, heading, rest = after.partition("\n## ")
        text = before + section + heading.lstrip("\n") + rest
    else:
        before, heading, rest = text.partition("## History\n")
        text = before + section + heading + rest
    page.write_text(text, encoding="utf-8")
