"""Upper bounds: what a request can cost at most, for the hold. Pure.

A token is at least one byte, so the bytes of everything the model reads bound its prompt tokens; the context window bounds them too.
"""

from dataclasses import dataclass

from billing.money import nanos_from_picos
from catalog.pricing import upper_bound
from catalog.types import EndpointSpec
from gateway.dialects.base import ChatRequest

# Generous bounds for parts whose tokens cannot be read off their bytes.
_TOKENS_PER_IMAGE = 6_000
_TOKENS_PER_AUDIO = 60_000
_TOKENS_PER_FILE = 120_000
_TOKENS_OVERHEAD = 256  # chat template, tool preamble
_TOKENS_PER_MESSAGE = 8  # what a chat template puts around each message
# What such parts and the words around a message are on average.
_IMAGE_TOKENS, _FILE_TOKENS, _AUDIO_TOKENS, _MESSAGE_TOKENS = 1_600, 3_000, 1_000, 4
_CHARS_PER_TOKEN = 4  # what a token is on average, for estimates; never for bounds


@dataclass(frozen=True, slots=True)
class HoldPlan:
    """What to hold before calling an endpoint.

    ``output_tokens`` is what the amount covers; ``cap_tokens`` is sent upstream as max_tokens when the client set none and the answer
    cannot be watched while it grows (not streamed), so that the hold stays an upper bound.
    """

    amount_nanos: int
    prompt_tokens: int
    output_tokens: int
    cap_tokens: int | None = None


def prompt_tokens_max(request: ChatRequest, endpoint: EndpointSpec) -> int:
    """Return a bound of the prompt's tokens at this endpoint."""
    bound = (
        request.prompt_bytes
        + request.image_parts * _TOKENS_PER_IMAGE
        + (request.audio_parts + request.video_parts) * _TOKENS_PER_AUDIO
        + request.file_parts * _TOKENS_PER_FILE
        + request.message_count * _TOKENS_PER_MESSAGE
        + _TOKENS_OVERHEAD
    )
    # Each input of an embedding has the whole window to itself.
    windows = request.message_count if request.kind == "embedding" else 1
    return min(bound, windows * endpoint.context_length) if endpoint.context_length else bound


def bound_nanos(request: ChatRequest, endpoint: EndpointSpec, *, prompt_tokens: int, output_tokens: int) -> int:
    """Return the most that this many tokens of this request can cost at the endpoint, in nanos."""
    if endpoint.is_free:
        return 0
    modalities = request.body.get("modalities") or ()
    picos = upper_bound(
        endpoint.price,
        prompt_tokens_max=prompt_tokens,
        output_tokens_max=output_tokens,
        service_tier=request.service_tier,
        audio=bool(request.audio_parts or request.video_parts or "audio" in modalities),
        images=bool(request.image_parts or request.file_parts or "image" in modalities),
    )
    return nanos_from_picos(picos)


def plan_hold(request: ChatRequest, endpoint: EndpointSpec, *, default_output_tokens: int, modest: bool = False) -> HoldPlan:
    """Return the hold for calling ``endpoint``.

    With max_tokens the hold covers it. Without: a stream starts with ``default_output_tokens`` and extends; a whole answer holds the
    endpoint's maximum, or, when that was refused (``modest``), the default, which is then sent upstream as max_tokens.
    """
    prompt = prompt_tokens_max(request, endpoint)
    limit = endpoint.max_output_tokens or endpoint.context_length or default_output_tokens * 4
    cap = None
    if request.kind == "embedding":
        output = 0
    elif request.max_tokens is not None:
        output = min(request.max_tokens, limit)
    elif request.stream:
        output = min(default_output_tokens, limit)
    elif modest:
        output = cap = min(default_output_tokens, limit)
    else:
        output = limit
    output *= request.n
    return HoldPlan(bound_nanos(request, endpoint, prompt_tokens=prompt, output_tokens=output), prompt, output, cap)


def estimated_tokens(char_count: int) -> int:
    """Return how many tokens this many bytes or characters probably are; used only where a provider reports no usage."""
    return -(-char_count // _CHARS_PER_TOKEN)


def estimated_prompt_tokens(request: ChatRequest) -> int:
    """Return how many tokens the prompt probably has, as an answer to the client's question; money is never reckoned with it."""
    return (
        estimated_tokens(request.prompt_bytes)
        + request.message_count * _MESSAGE_TOKENS
        + request.image_parts * _IMAGE_TOKENS
        + request.file_parts * _FILE_TOKENS
        + (request.audio_parts + request.video_parts) * _AUDIO_TOKENS
    )
