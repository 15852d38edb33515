"""What the simulator says to a request, and its exact usage; wire formats come later. Deterministic but for the cache of prefixes."""

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import msgspec

from gateway.simulator.directives import Directives
from gateway.simulator.pictures import draw_base64
from gateway.simulator.samples import sample_value
from gateway.simulator.tokens import BYTES_PER_TOKEN, MESSAGE_TOKENS, count_tokens, cut_to_tokens

_encode_json = msgspec.json.Encoder(order="sorted").encode
FREE_TEXT = "free text"  # in the place of a schema: a tool whose calls are free text
_FREE_TEXT = 'print("simulated")\n# no JSON: \\n is \\n, a face is 🙂\n'
_QUOTE_CHARS = 80
_PREFIXES_MAX = 10_000
PICTURE_TOKENS = 1290  # that a picture drawn in a chat is counted as

_SENTENCES = (
    "It is made from the words of the prompt by a fixed rule, so the same prompt always gets the same answer. ",
    "The tokens are counted one for every four bytes, and the price of each of them is real arithmetic on demo credits. ",
    "Add a credential for this provider and the next answer comes from the real model. ",
    "Latency and speed are invented for each provider, so that routing has something to choose between. ",
    "Streams, tools, structured output and errors behave as this provider's own wire format has them. ",
    "Nothing of this left the machine. ",
)


class SimRequest(msgspec.Struct, kw_only=True):
    """A request of any wire format, reduced to what decides the answer. ``tools`` are (name, schema of the arguments)."""

    model: str
    last_user_text: str = ""
    prompt_tokens: int = MESSAGE_TOKENS
    prompt_key: str = ""  # names the prompt: equal prompts, equal keys
    prefix_key: str = ""  # names the part marked for caching; '' if none is
    prefix_tokens: int = 0
    prefix_is_1h: bool = False
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    n: int = 1
    tools: tuple[tuple[str, Any], ...] = ()
    tool_choice: str = "auto"  # auto, none, required, or the name of a tool
    tools_answered: bool = False  # the last message is a tool's result
    searches: int = 0  # of the web, that it is told to run
    json_schema: Any = None
    json_object: bool = False
    reasoning: bool = False
    stream: bool = False
    include_usage: bool = False
    control: str = ""  # the words of metadata.simulate
    make: Callable[["SimRequest"], "SimReply"] | None = None  # what answers in the place of a chat
    inputs: tuple[str, ...] = ()  # of an embedding; query and documents of a ranking
    top_n: int = 0
    picture_size: tuple[int, int] = (0, 0)  # pixels; (0, 0): no picture is asked for
    sound_format: str = ""  # pcm, wav or mp3, of speech
    seconds: float = 0.0  # of sound to be written down
    picture_tokens: int = 0  # that one picture is counted as
    dimensions: int = 0
    is_base64: bool = False


class SimCall(msgspec.Struct):
    """One tool call; ``arguments`` is JSON text, free text of a custom tool."""

    id: str
    name: str
    arguments: str
    is_custom: bool = False


class SimChoice(msgspec.Struct, kw_only=True):
    """One alternative. ``finish`` is stop, stop_sequence, length, tool_calls, content_filter, or None for an empty answer."""

    reasoning: str = ""
    text: str = ""
    calls: tuple[SimCall, ...] = ()
    finish: str | None = "stop"
    stop_sequence: str | None = None

    @property
    def visible_tokens(self) -> int:
        """Tokens of text and tool calls."""
        return count_tokens(self.text) + sum(count_tokens(call.name) + count_tokens(call.arguments) for call in self.calls)


class SimUsage(msgspec.Struct, kw_only=True):
    """Disjoint counts, as ``catalog.types.Usage`` has them."""

    input_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    cache_write_1h_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    searches: int = 0
    image_tokens: int = 0
    audio_tokens: int = 0
    seconds: float = 0.0

    @property
    def prompt_tokens(self) -> int:
        """The whole prompt."""
        return self.input_tokens + self.cache_read_tokens + self.cache_write_tokens + self.cache_write_1h_tokens


class SimReply(msgspec.Struct, kw_only=True):
    """Everything a wire format needs to write the answer."""

    id: str
    model: str
    choices: list[SimChoice]
    usage: SimUsage
    vectors: list[list[float]] = []
    verdicts: list[list[str]] = []
    ranking: list[tuple[int, float]] = []
    sound: bytes = b""
    sound_type: bytes = b""
    pictures: list[str] = []  # PNG in base64
    is_base64: bool = False


class PrefixCache:
    """Which marked prefixes were seen before, in this process. Bounded; entries do not age."""

    def __init__(self) -> None:
        self._seen: OrderedDict[str, None] = OrderedDict()

    def touch(self, key: str) -> bool:
        """Whether ``key`` was seen; it is from now on."""
        known = key in self._seen
        self._seen[key] = None
        self._seen.move_to_end(key)
        if len(self._seen) > _PREFIXES_MAX:
            self._seen.popitem(last=False)
        return known


def make_reply(request: SimRequest, *, slug: str, directives: Directives, cache: PrefixCache) -> SimReply:
    """Return the answer to ``request`` under provider ``slug``."""
    choices = [_make_choice(request, slug, directives, place) for place in range(request.n)]
    usage = _prompt_usage(request, directives, cache)
    usage.output_tokens = sum(choice.visible_tokens for choice in choices)
    usage.reasoning_tokens = sum(count_tokens(choice.reasoning) for choice in choices)
    usage.searches = request.searches
    digest = hashlib.sha256(f"{slug}\n{request.model}\n{request.prompt_key}".encode()).hexdigest()
    model = "simulated/another-model" if "wrong_model" in directives else request.model
    reply = SimReply(id=digest[:24], model=model, choices=choices, usage=usage)
    if request.picture_size != (0, 0) and "empty" not in directives:
        reply.pictures = [draw_base64(digest, *request.picture_size)]
        usage.image_tokens = PICTURE_TOKENS
    return reply


def _prompt_usage(request: SimRequest, directives: Directives, cache: PrefixCache) -> SimUsage:
    total = request.prompt_tokens
    if "cached" in directives or "cache_write" in directives:
        read = min(int(directives.get("cached", 0)), total)
        written = min(int(directives.get("cache_write", 0)), total - read)
        return SimUsage(input_tokens=total - read - written, cache_read_tokens=read, cache_write_tokens=written)
    if not request.prefix_key:
        return SimUsage(input_tokens=total)
    prefix = min(request.prefix_tokens, total)
    if cache.touch(f"{request.model}\n{request.prefix_key}"):
        return SimUsage(input_tokens=total - prefix, cache_read_tokens=prefix)
    if request.prefix_is_1h:
        return SimUsage(input_tokens=total - prefix, cache_write_1h_tokens=prefix)
    return SimUsage(input_tokens=total - prefix, cache_write_tokens=prefix)


def _make_choice(request: SimRequest, slug: str, directives: Directives, place: int) -> SimChoice:
    if "empty" in directives:
        return SimChoice(finish=None)
    left = request.max_tokens if request.max_tokens is not None else 1_000_000
    reasoning = _thoughts(request, directives)
    if count_tokens(reasoning) >= left:
        return SimChoice(reasoning=cut_to_tokens(reasoning, left), finish="length")
    left -= count_tokens(reasoning)
    calls = _tool_calls(request, directives, place)
    if calls:
        if SimChoice(calls=calls).visible_tokens > left:
            return SimChoice(reasoning=reasoning, calls=_cut_call(calls[0], left), finish="length")
        return SimChoice(reasoning=reasoning, calls=calls, finish="tool_calls")
    text = _text(request, slug, directives, place)
    stopped = min(((at, stop) for stop in request.stop if stop and (at := text.find(stop)) >= 0), default=None)
    finish = "content_filter" if "refuse" in directives else "stop"
    if stopped is not None:
        text, finish = text[: stopped[0]], "stop_sequence"
    if count_tokens(text) > left:
        return SimChoice(reasoning=reasoning, text=cut_to_tokens(text, left), finish="length")
    return SimChoice(reasoning=reasoning, text=text, finish=finish, stop_sequence=stopped[1] if stopped else None)


def _thoughts(request: SimRequest, directives: Directives) -> str:
    tokens = directives.get("reasoning")
    if isinstance(tokens, int):
        return ("thinking " * tokens)[: tokens * BYTES_PER_TOKEN]
    if not request.reasoning:
        return ""
    return f"The prompt has about {request.prompt_tokens} tokens. A simulated answer will do; I should say that it is one."


def _tool_calls(request: SimRequest, directives: Directives, place: int) -> tuple[SimCall, ...]:
    if not request.tools or request.tool_choice == "none" or (request.tool_choice == "auto" and request.tools_answered):
        return ()
    named = [tool for tool in request.tools if tool[0] == request.tool_choice] or list(request.tools)
    calls = []
    for number in range(int(directives.get("calls", 1))):
        name, schema = named[number % len(named)]
        digest = hashlib.sha256(f"{request.prompt_key}\n{place}\n{number}\n{name}".encode()).hexdigest()
        if schema == FREE_TEXT:
            calls.append(SimCall(f"call_{digest[:24]}", name, _FREE_TEXT, is_custom=True))
            continue
        value = sample_value(schema if isinstance(schema, dict) else {"type": "object"})
        calls.append(SimCall(f"call_{digest[:24]}", name, _encode_json(value if isinstance(value, dict) else {}).decode()))
    return tuple(calls)


def _cut_call(call: SimCall, left: int) -> tuple[SimCall, ...]:
    room = left - count_tokens(call.name)
    return (SimCall(call.id, call.name, cut_to_tokens(call.arguments, room)),) if room > 0 else ()


def _text(request: SimRequest, slug: str, directives: Directives, place: int) -> str:
    if request.json_schema is not None:
        return _encode_json(sample_value(request.json_schema)).decode()
    quote = " ".join(request.last_user_text.split())[:_QUOTE_CHARS].replace('"', "'")
    if request.json_object:
        return _encode_json({"simulated": True, "prompt": quote}).decode()
    host = f" by {slug}" if slug else ""
    choice = f" (choice {place + 1} of {request.n})" if request.n > 1 else ""
    text = f'This is a simulated answer{choice} of {request.model}{host}: no model was asked. You wrote: "{quote}". '
    digest = hashlib.sha256(f"{request.prompt_key}\n{place}".encode()).digest()
    text += "".join(_SENTENCES[digest[turn] % len(_SENTENCES)] for turn in range(2 + digest[0] % 2))
    big = directives.get("big")
    if isinstance(big, int):
        size = big * BYTES_PER_TOKEN
        filler = "".join(_SENTENCES)
        text += filler * (max(size - len(text.encode()), 0) // len(filler) + 1)
        return cut_to_tokens(text, big)
    return text.rstrip()
