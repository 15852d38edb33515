"""Upper bounds: what a request can cost at most, for the hold. Pure.

A token is at least one byte, so the bytes of everything the model reads bound its prompt tokens; the context window bounds them too.
"""

from billing.money import nanos_from_picos
from catalog.pricing import text_bound, upper_bound
from catalog.types import EndpointSpec
from gateway.dialects.base import ChatRequest
from gateway.dialects.reasoning import resolve_thinking
from gateway.providers.table import SEARCHES_ASKED, quirks_of
from gateway.relay.types import HoldPlan

# Generous bounds for parts whose tokens cannot be read off their bytes.
_TOKENS_PER_IMAGE = 6_000
_TOKENS_PER_AUDIO = 60_000
_TOKENS_PER_FILE = 120_000
_TOKENS_OVERHEAD = 256  # chat template
_TOKENS_TOOLS = 768  # the preamble that tells a model how to call tools
_TOKENS_PER_MESSAGE = 8  # what a chat template puts around each message
_TOKENS_PER_SECOND = 50  # of sound to be written down; Gemini counts 32, OpenAI fewer
_DRAWN = "image_output_tokens"  # has a rate where pictures come out
_SOUND = frozenset({"speech", "transcription"})
# What such parts and the words around a message are on average.
_IMAGE_TOKENS, _FILE_TOKENS, _AUDIO_TOKENS, _MESSAGE_TOKENS = 1_600, 3_000, 1_000, 4
_CHARS_PER_TOKEN = 4  # what a token is on average, for estimates; never for bounds


def prompt_tokens_max(request: ChatRequest, endpoint: EndpointSpec) -> int:
    """Return a bound of the prompt's tokens at this endpoint."""
    if request.is_text and not request.searches_web:
        bound = max(request.prompt_bytes, request.body_bytes) + request.stand_in_bytes
        bound += request.message_count * _TOKENS_PER_MESSAGE + _TOKENS_OVERHEAD
        if request.body.get("tools"):
            bound += _TOKENS_TOOLS
        return min(bound, endpoint.context_length) if endpoint.context_length else bound
    # Each input of an embedding, and each document of a ranking, has the whole window to itself.
    windows = request.message_count if request.kind in ("embedding", "rerank") else 1
    if endpoint.context_length and (request.audio_parts or request.video_parts or request.file_parts or has_odd_media(request)):
        return windows * endpoint.context_length  # an hour of film is a million tokens, and its address tells nothing
    bound = (
        max(request.prompt_bytes, request.body_bytes - request.media_bytes)
        + request.stand_in_bytes
        + request.image_parts * _TOKENS_PER_IMAGE
        + (request.audio_parts + request.video_parts) * _TOKENS_PER_AUDIO
        + request.file_parts * _TOKENS_PER_FILE
        + request.message_count * _TOKENS_PER_MESSAGE
        + (_TOKENS_TOOLS if request.body.get("tools") else 0)
        + request.units_max.get("seconds", 0) * _TOKENS_PER_SECOND
        + _TOKENS_OVERHEAD
    )
    bound = min(bound, windows * endpoint.context_length) if endpoint.context_length else bound
    # After a search the prompt is read again, with what was found: together at most the window.
    return bound + endpoint.context_length if request.searches_web and quirks_of(endpoint.provider).search_tool else bound


def has_odd_media(request: ChatRequest) -> bool:
    """Whether something that is no picture is sent where pictures are: Gemini takes text, sound and film there too."""
    if not request.image_parts:
        return False
    urls = (
        part["image_url"]["url"]
        for message in request.body.get("messages") or ()
        if isinstance(message.get("content"), list)
        for part in message["content"]
        if part.get("type") == "image_url"
    )
    return any(not url.startswith("data:image/") if url.startswith("data:") else _is_film(url) for url in urls)


def _is_film(url: str) -> bool:
    return url.partition("?")[0].lower().endswith((".mp4", ".webm", ".mov", ".mp3", ".wav", ".pdf"))


def thinks_unseen(request: ChatRequest, endpoint: EndpointSpec) -> bool:
    """Whether the answer may cost more than can be seen of it as it grows: thoughts are billed, and many hosts do not send them; pictures
    are no text.
    """
    if _DRAWN in endpoint.price.rates:
        return True
    supported = endpoint.supported_parameters
    if supported and "reasoning" not in supported and "reasoning_effort" not in supported:
        return False
    return resolve_thinking(request.body).asked is not False


def bound_nanos(request: ChatRequest, endpoint: EndpointSpec, *, prompt_tokens: int, output_tokens: int) -> int:
    """Return the most that this many tokens of this request can cost at the endpoint, in nanos."""
    if endpoint.is_free:
        return 0
    if request.is_text and not request.service_tier and "modalities" not in request.body and not request.searches_web:
        bound = text_bound(endpoint.price, prompt_tokens, output_tokens)
        if bound is not None and not ("searches" in endpoint.price.rates and quirks_of(endpoint.provider).searches_max):
            return nanos_from_picos(bound)
    modalities = request.body.get("modalities") or ()
    picos = upper_bound(
        endpoint.price,
        prompt_tokens_max=prompt_tokens,
        output_tokens_max=output_tokens,
        service_tier=request.service_tier,
        audio=bool(request.audio_parts or request.video_parts or "audio" in modalities or request.kind in _SOUND),
        images=bool(request.image_parts or request.file_parts or "image" in modalities or _DRAWN in endpoint.price.rates),
        units_max=request.units_max or _searches(request, endpoint, prompt_tokens),
    )
    return nanos_from_picos(picos)


def _searches(request: ChatRequest, endpoint: EndpointSpec, prompt_tokens: int) -> dict[str, int]:
    """Return the searches that a chat may be billed: once, with the prompt, not when its hold grows."""
    if "searches" not in endpoint.price.rates or not prompt_tokens:
        return {}
    quirks = quirks_of(endpoint.provider)
    return {"searches": quirks.searches_max or (SEARCHES_ASKED if request.searches_web and quirks.search_tool else 0)}


def plan_hold(request: ChatRequest, endpoint: EndpointSpec, *, default_output_tokens: int, modest: bool = False) -> HoldPlan:
    """Return the hold for calling ``endpoint``.

    With max_tokens the hold covers it. Without: a stream starts with ``default_output_tokens`` and extends; a whole answer holds the
    endpoint's maximum, or, when that was refused (``modest``), the default, which is then sent upstream as max_tokens.
    """
    prompt = prompt_tokens_max(request, endpoint)
    limit = endpoint.max_output_tokens or endpoint.context_length  # 0: unknown
    default = min(default_output_tokens, limit) if limit else default_output_tokens
    cap = None
    if request.kind != "chat":
        output = min(request.answer_tokens_max, endpoint.max_output_tokens or request.answer_tokens_max)
        return HoldPlan(bound_nanos(request, endpoint, prompt_tokens=prompt, output_tokens=output), prompt, output, output or None)
    if request.max_tokens is not None:
        output = min(request.max_tokens, limit) if limit else request.max_tokens
    elif request.stream and not thinks_unseen(request, endpoint):
        output = default
    elif modest:
        output = cap = default
    elif limit:
        output = limit
    else:
        # Nobody knows where this endpoint stops by itself, so it is told.
        output = cap = default_output_tokens * 4
    output *= request.n
    return HoldPlan(bound_nanos(request, endpoint, prompt_tokens=prompt, output_tokens=output), prompt, output, cap)


def estimated_tokens(char_count: int) -> int:
    """Return how many tokens this many bytes or characters probably are; used only where a provider reports no usage."""
    return -(-char_count // _CHARS_PER_TOKEN)


def estimated_prompt_tokens(request: ChatRequest) -> int:
    """Return how many tokens the prompt probably has, for a client's question and where a provider reports no usage."""
    return (
        estimated_tokens(request.prompt_bytes)
        + (request.message_count * _MESSAGE_TOKENS if request.kind == "chat" else 0)
        + request.image_parts * _IMAGE_TOKENS
        + request.file_parts * _FILE_TOKENS
        + (request.audio_parts + request.video_parts) * _AUDIO_TOKENS
    )
