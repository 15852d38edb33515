"""How a request asks the simulator to misbehave: ``[[simulate: status=503 times=2]]`` in the last user message, the same words in an
``x-simulate`` header, in ``metadata.simulate`` or inside a key (``[[simulate:status=429,retry_after=7]]``). Pure but for the counters.

Words (N whole numbers):
status=N          answer with that HTTP status (retry_after=N seconds goes with it; 429 and 503 have 1 unless told otherwise)
delay_ms=N        wait before the head of the answer; first_token_ms=N between the head and the first token; rate=N tokens per second
cut_after=N       drop the connection after N chunks of a stream (of a whole answer: in the middle of the body)
hang[=N]          fall silent, before the head or after N chunks, until the client leaves
malformed[=N]     broken JSON, after N chunks
error_in_stream[=N]  an error inside a 200, after N chunks
other_form        whole when asked for a stream, a stream when asked not to
empty             no output and no finish reason
missing_usage, zero_usage, usage_every_chunk   what the report of usage looks like
wrong_model       names another model as the one that answered
drip[=N]          bytes split at odd borders, N ms apart
crlf, no_done     lines end in CRLF; the end mark is left out
big=N             an answer of N tokens (as max_tokens allows)
calls=N           N parallel tool calls;  reasoning=N  N tokens of thoughts;  refuse  ends for its content
cached=N, cache_write=N  report that many prompt tokens as read from, written to the cache
times=N           the first N calls misbehave, later ones succeed; counted by key=WORD, else by the prompt
only=SLUG         misbehave under that provider's path only
"""

import re
from collections import OrderedDict

Directives = dict[str, int | str]

_FLAGS = frozenset({"missing_usage", "zero_usage", "usage_every_chunk", "wrong_model", "crlf", "no_done", "empty", "refuse", "other_form"})
_FLAGS_OR_NUMBERS = frozenset({"hang", "malformed", "error_in_stream", "drip"})
_NUMBERS = frozenset(
    {
        "status", "retry_after", "delay_ms", "first_token_ms", "rate", "cut_after", "big", "calls", "reasoning", "cached",
        "cache_write", "times",
    }
)  # fmt: skip
_WORDS = frozenset({"key", "only"})
_IN_TEXT = re.compile(r"\[\[\s*simulate:\s*([^\]]*)\]\]")
_DEFAULTS = {"hang": 0, "malformed": 1, "error_in_stream": 1, "drip": 1}
_LIMITS = {"status": (400, 599), "big": (1, 1_000_000), "calls": (1, 16), "rate": (1, 1_000_000), "n": (1, 128)}
_COUNTERS_MAX = 10_000


class BadDirective(Exception):
    """A word that the simulator does not know, or a number that is none."""


def find_in_text(text: str) -> str:
    """Return the words inside the last ``[[simulate: …]]`` of ``text``, '' if there is none."""
    found = _IN_TEXT.findall(text)
    return str(found[-1]) if found else ""


def parse_directives(text: str) -> Directives:
    """Read words separated by commas or spaces. Raises: BadDirective."""
    directives: Directives = {}
    for word in text.replace(",", " ").split():
        name, _, value = word.partition("=")
        if name in _FLAGS and not value:
            directives[name] = 1
        elif name in _FLAGS_OR_NUMBERS and not value:
            directives[name] = _DEFAULTS[name]
        elif name in _NUMBERS or name in _FLAGS_OR_NUMBERS:
            low, high = _LIMITS.get(name, (0, 10_000_000))
            if not value.isdecimal() or not low <= int(value) <= high:
                raise BadDirective(f"simulate: {name} needs a whole number from {low} to {high}, not {value!r}")
            directives[name] = int(value)
        elif name in _WORDS and value:
            directives[name] = value
        else:
            raise BadDirective(f"simulate: unknown word {word!r}")
    return directives


class Counters:
    """How often each ``times`` has been used, in this process. Bounded; the oldest are forgotten."""

    def __init__(self) -> None:
        self._counts: OrderedDict[str, int] = OrderedDict()

    def spend(self, key: str, times: int) -> bool:
        """Whether this call is among the first ``times`` of ``key``."""
        count = self._counts.pop(key, 0) + 1
        self._counts[key] = count
        if len(self._counts) > _COUNTERS_MAX:
            self._counts.popitem(last=False)
        return count <= times


def active_directives(directives: Directives, *, slug: str, prompt_key: str, counters: Counters) -> Directives:
    """Return what holds for this call: nothing under another provider than ``only``, nor once ``times`` is used up."""
    if not directives or directives.get("only", slug) != slug:
        return {}
    times = directives.get("times")
    if isinstance(times, int):
        key = str(directives.get("key") or prompt_key)
        if not counters.spend(key, times):
            return {}
    return directives
