"""The usage object that customers get, and how the official clients read it."""

import msgspec
import openrouter.components
import pytest
from openai.types import CompletionUsage

from catalog.types import Usage
from gateway.dialects.base import raw_usd
from gateway.dialects.chat_client import chat_usage

USAGE = Usage(
    input_tokens=10, cache_read_tokens=20, cache_write_tokens=3, cache_write_1h_tokens=4, audio_input_tokens=5, image_input_tokens=6,
    output_tokens=7, reasoning_tokens=8, audio_output_tokens=9, image_output_tokens=10, searches=2,
)  # fmt: skip


def written() -> bytes:
    return msgspec.json.encode(chat_usage(USAGE, cost_nanos=214_000, prompt_cost_nanos=1))


def test_prompt_counts_include_cache_and_completion_counts_reasoning():
    assert msgspec.json.decode(written()) == {
        "prompt_tokens": 48,
        "completion_tokens": 34,
        "total_tokens": 82,
        "cost": 0.000214,
        "is_byok": False,
        "prompt_tokens_details": {"cached_tokens": 20, "cache_write_tokens": 7, "audio_tokens": 5, "video_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 8, "audio_tokens": 9, "image_tokens": 10},
        "cost_details": {
            "upstream_inference_cost": 0.000214,
            "upstream_inference_prompt_cost": 0.000000001,
            "upstream_inference_completions_cost": 0.000213999,
        },
        "server_tool_use_details": {"web_search_requests": 2},
    }


@pytest.mark.parametrize(
    ("nanos", "text"),
    [(0, "0"), (1, "0.000000001"), (214_000, "0.000214"), (1_000_000_000, "1"), (123_456_789_012_345_678, "123456789.012345678")],
)
def test_amounts_are_exact_plain_decimals(nanos, text):
    assert msgspec.json.encode({"cost": raw_usd(nanos)}).decode() == f'{{"cost":{text}}}'


def test_the_official_openrouter_client_reads_it():
    read = openrouter.components.ChatUsage.model_validate_json(written())
    assert (read.prompt_tokens, read.cost, read.cost_details.upstream_inference_cost) == (48, 0.000214, 0.000214)
    assert read.server_tool_use_details.web_search_requests == 2


def test_the_official_openai_client_reads_it():
    read = CompletionUsage.model_validate_json(written())
    assert (read.total_tokens, read.prompt_tokens_details.cached_tokens, read.completion_tokens_details.reasoning_tokens) == (82, 20, 8)
