"""Usage reports of the wire formats, normalised once to disjoint meters. Pure.

Rules: an explicit zero is a report; nothing is ever negative; what a provider counts twice is taken apart by its own total.
"""

from typing import Any

from catalog.types import Usage
from gateway.dialects.base import Json

# Far above what any request can use. Priced, a larger one would leave the 64 bits of a balance, and its charge would be refused for ever.
_COUNT_MAX = 10**9
_RESPONSES_NAMES = {
    "input_tokens": "prompt_tokens",
    "output_tokens": "completion_tokens",
    "input_tokens_details": "prompt_tokens_details",
    "output_tokens_details": "completion_tokens_details",
}
_DETAILS = ("prompt_tokens_details", "completion_tokens_details")
_PLAIN_REPORT = frozenset({"prompt_tokens", "completion_tokens", "total_tokens", *_DETAILS})


def count(value: Any) -> int:
    """Return a token count; anything that is not a whole number from 0 to a billion counts as 0."""
    if value is None:  # by far the most common: a kind of token that the report does not name
        return 0
    if value.__class__ is int:
        return int(value) if 0 < value <= _COUNT_MAX else 0
    if isinstance(value, float) and 0 < value <= _COUNT_MAX and value.is_integer():
        return int(value)
    return 0


def _is_plain(report: Json) -> bool:
    """Whether the report counts nothing but whole prompts and answers that add up: what most are."""
    prompt_tokens, completion_tokens = report.get("prompt_tokens"), report.get("completion_tokens")
    if prompt_tokens.__class__ is not int or completion_tokens.__class__ is not int or not report.keys() <= _PLAIN_REPORT:
        return False
    for name in _DETAILS:
        details = report.get(name)
        if details and (details.__class__ is not dict or any(details.values())):
            return False
    total = report.get("total_tokens")
    return 0 <= prompt_tokens <= _COUNT_MAX and 0 <= completion_tokens <= _COUNT_MAX and total == prompt_tokens + completion_tokens


def _details(report: Json, name: str) -> Json:
    value = report.get(name)
    return value if isinstance(value, dict) else {}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def usage_from_chat(report: Any) -> Usage | None:
    """Read the ``usage`` of Chat Completions and its many dialects. Returns None when there is no report.

    OpenAI counts cached tokens inside prompt_tokens and reasoning inside completion_tokens. Hosts that count either beside it betray
    themselves: the part is larger than the whole, or total_tokens is the sum of all three.
    """
    if not isinstance(report, dict):
        return None
    if _is_plain(report):
        return Usage(input_tokens=report["prompt_tokens"], output_tokens=report["completion_tokens"])
    if not (_is_number(report.get("prompt_tokens")) or _is_number(report.get("completion_tokens"))):
        return None
    prompt_tokens, completion_tokens = count(report.get("prompt_tokens")), count(report.get("completion_tokens"))
    surplus = count(report.get("total_tokens")) - prompt_tokens - completion_tokens
    inputs, outputs = _details(report, "prompt_tokens_details"), _details(report, "completion_tokens_details")
    cached = count(inputs.get("cached_tokens")) or count(report.get("prompt_cache_hit_tokens")) or count(report.get("cached_tokens"))
    cached = cached or count(report.get("cache_read_input_tokens"))
    written_1h = count(_details(report, "cache_creation").get("ephemeral_1h_input_tokens"))
    written = (
        count(inputs.get("cache_write_tokens"))
        or count(inputs.get("cache_creation_tokens"))
        or count(report.get("cache_creation_input_tokens"))
    )
    written = max(written - written_1h, 0)
    parts = cached + written + written_1h
    reasoning = count(outputs.get("reasoning_tokens")) or count(report.get("reasoning_tokens"))
    outside = reasoning > completion_tokens or (reasoning > 0 and surplus in (reasoning, reasoning + parts))
    beside = parts > prompt_tokens or (parts > 0 and surplus in (parts, parts + reasoning) and not (outside and surplus == reasoning))
    uncached = prompt_tokens if beside else prompt_tokens - parts
    audio_in = min(count(inputs.get("audio_tokens")), uncached)
    image_in = min(count(inputs.get("image_tokens")), uncached - audio_in)
    visible = completion_tokens if outside else completion_tokens - reasoning
    audio_out = min(count(outputs.get("audio_tokens")), visible)
    image_out = min(count(outputs.get("image_tokens")), visible - audio_out)
    return Usage(
        input_tokens=uncached - audio_in - image_in,
        cache_read_tokens=cached,
        cache_write_tokens=written,
        cache_write_1h_tokens=written_1h,
        audio_input_tokens=audio_in,
        image_input_tokens=image_in,
        output_tokens=visible - audio_out - image_out,
        reasoning_tokens=reasoning,
        audio_output_tokens=audio_out,
        image_output_tokens=image_out,
        searches=_searches(report),
    )


def _searches(report: Json) -> int:
    for name in ("server_tool_use_details", "server_tool_use"):
        if found := count(_details(report, name).get("web_search_requests")):
            return found
    return count(report.get("num_search_queries")) or count(report.get("num_sources_used"))


def merge_messages_report(held: Json, report: Any) -> None:
    """Fold a cumulative report of the Messages stream into ``held``: the larger count of each kind wins, nothing is summed."""
    if not isinstance(report, dict):
        return
    for name, value in report.items():
        if isinstance(value, dict):
            inner = held.setdefault(name, {})
            if isinstance(inner, dict):
                merge_messages_report(inner, value)
        elif _is_number(value):
            held[name] = max(count(value), count(held.get(name)))
        elif isinstance(value, list):
            held[name] = value


def usage_from_messages(report: Any) -> Usage | None:
    """Read the ``usage`` of Anthropic Messages, whose input_tokens exclude cache reads and writes. Returns None when there is no report.

    The 5-minute/1-hour split of cache writes is priced differently and is kept; without a split all writes are 5-minute ones.
    ``iterations`` lists several billed passes of one answer; where given, their sum is what is billed.
    """
    if not isinstance(report, dict) or not (_is_number(report.get("input_tokens")) or _is_number(report.get("output_tokens"))):
        return None
    iterations = report.get("iterations")
    if isinstance(iterations, list) and iterations:
        passes = [
            found for one in iterations if (found := usage_from_messages({**one, "iterations": None} if isinstance(one, dict) else None))
        ]
        if passes:
            return _sum_passes(passes, _messages_searches(report))
    split = _details(report, "cache_creation")
    written_1h = count(split.get("ephemeral_1h_input_tokens"))
    written_5m = max(count(report.get("cache_creation_input_tokens")) - written_1h, count(split.get("ephemeral_5m_input_tokens")))
    output = count(report.get("output_tokens"))
    reasoning = min(count(_details(report, "output_tokens_details").get("thinking_tokens")), output)
    return Usage(
        input_tokens=count(report.get("input_tokens")),
        cache_read_tokens=count(report.get("cache_read_input_tokens")),
        cache_write_tokens=written_5m,
        cache_write_1h_tokens=written_1h,
        output_tokens=output - reasoning,
        reasoning_tokens=reasoning,
        searches=_messages_searches(report),
    )


def _messages_searches(report: Json) -> int:
    return count(_details(report, "server_tool_use").get("web_search_requests"))


def _sum_passes(passes: list[Usage], searches: int) -> Usage:
    return Usage(
        input_tokens=sum(one.input_tokens for one in passes),
        cache_read_tokens=sum(one.cache_read_tokens for one in passes),
        cache_write_tokens=sum(one.cache_write_tokens for one in passes),
        cache_write_1h_tokens=sum(one.cache_write_1h_tokens for one in passes),
        output_tokens=sum(one.output_tokens for one in passes),
        reasoning_tokens=sum(one.reasoning_tokens for one in passes),
        searches=searches,
    )


def usage_from_gemini(report: Any, *, searches: int = 0) -> Usage | None:
    """Read Gemini's ``usageMetadata``. Returns None when there is no report.

    promptTokenCount includes cached tokens; tool-use prompts and thoughts are counted beside prompt and candidates. Modalities are
    split by the details, less what of them was cached.
    """
    if not isinstance(report, dict) or not (_is_number(report.get("promptTokenCount")) or _is_number(report.get("candidatesTokenCount"))):
        return None
    prompt_tokens = count(report.get("promptTokenCount"))
    cached = min(count(report.get("cachedContentTokenCount")), prompt_tokens)
    uncached = prompt_tokens - cached
    by_kind, cached_by_kind = _modalities(report, "promptTokensDetails"), _modalities(report, "cacheTokensDetails")
    audio_in = min(max(by_kind.get("AUDIO", 0) - cached_by_kind.get("AUDIO", 0), 0), uncached)
    image_in = min(max(by_kind.get("IMAGE", 0) - cached_by_kind.get("IMAGE", 0), 0), uncached - audio_in)
    answered = count(report.get("candidatesTokenCount"))
    out_by_kind = _modalities(report, "candidatesTokensDetails")
    audio_out = min(out_by_kind.get("AUDIO", 0), answered)
    image_out = min(out_by_kind.get("IMAGE", 0), answered - audio_out)
    return Usage(
        input_tokens=uncached - audio_in - image_in + count(report.get("toolUsePromptTokenCount")),
        cache_read_tokens=cached,
        audio_input_tokens=audio_in,
        image_input_tokens=image_in,
        output_tokens=answered - audio_out - image_out,
        reasoning_tokens=count(report.get("thoughtsTokenCount")),
        audio_output_tokens=audio_out,
        image_output_tokens=image_out,
        searches=searches,
    )


def _modalities(report: Json, name: str) -> dict[str, int]:
    found: dict[str, int] = {}
    details = report.get(name)
    for detail in details if isinstance(details, list) else ():
        if isinstance(detail, dict) and isinstance(detail.get("modality"), str):
            found[detail["modality"]] = found.get(detail["modality"], 0) + count(detail.get("tokenCount"))
    return found


def usage_from_responses(report: Any) -> Usage | None:
    """Read the ``usage`` of OpenAI Responses: Chat Completions' counts under other names. Returns None when there is no report."""
    if not isinstance(report, dict) or not (_is_number(report.get("input_tokens")) or _is_number(report.get("output_tokens"))):
        return None
    renamed = {_RESPONSES_NAMES.get(name, name): value for name, value in report.items()}
    return usage_from_chat(renamed)


def usage_from_bedrock(report: Any) -> Usage | None:
    """Read the ``usage`` of Bedrock's Converse, whose inputTokens exclude cache reads and writes. Returns None when there is no report."""
    if not isinstance(report, dict) or not (_is_number(report.get("inputTokens")) or _is_number(report.get("outputTokens"))):
        return None
    details = report.get("cacheDetails")
    written_1h = sum(
        count(one.get("inputTokens"))
        for one in (details if isinstance(details, list) else ())
        if isinstance(one, dict) and one.get("ttl") == "1h"
    )
    return Usage(
        input_tokens=count(report.get("inputTokens")),
        cache_read_tokens=count(report.get("cacheReadInputTokens")),
        cache_write_tokens=max(count(report.get("cacheWriteInputTokens")) - written_1h, 0),
        cache_write_1h_tokens=written_1h,
        output_tokens=count(report.get("outputTokens")),
    )


def usage_from_cohere(report: Any) -> Usage | None:
    """Read the ``usage`` of Cohere's chat: what it bills, else what it read and wrote. Returns None when there is no report."""
    for name in ("billed_units", "tokens"):
        counts = _details(report, name) if isinstance(report, dict) else {}
        if _is_number(counts.get("input_tokens")) or _is_number(counts.get("output_tokens")):
            return Usage(input_tokens=count(counts.get("input_tokens")), output_tokens=count(counts.get("output_tokens")))
    return None
