"""Usage reports of every provider end as disjoint meters that add up: nothing counted twice, nothing negative."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.types import Usage
from gateway.dialects.usage import merge_messages_report, usage_from_chat, usage_from_gemini, usage_from_messages


def chat(prompt, completion, total=None, inputs=None, outputs=None, **more):
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion if total is None else total,
        **({"prompt_tokens_details": inputs} if inputs else {}),
        **({"completion_tokens_details": outputs} if outputs else {}),
        **more,
    }


@pytest.mark.parametrize("absurd", [10**9 + 1, 10**25, 1e18, -1, "7", True])
def test_a_count_that_no_request_can_reach_counts_as_nothing(absurd):
    assert usage_from_chat(chat(10, 5, outputs={"reasoning_tokens": absurd})) == Usage(input_tokens=10, output_tokens=5)
    assert usage_from_messages({"input_tokens": 10, "output_tokens": absurd}) in (Usage(input_tokens=10), None)


@pytest.mark.parametrize(
    ("report", "usage"),
    [
        (chat(10, 5), Usage(input_tokens=10, output_tokens=5)),
        # OpenAI: parts are inside the wholes.
        (chat(100, 50, inputs={"cached_tokens": 80}), Usage(input_tokens=20, cache_read_tokens=80, output_tokens=50)),
        (chat(100, 50, outputs={"reasoning_tokens": 40}), Usage(input_tokens=100, output_tokens=10, reasoning_tokens=40)),
        (
            chat(100, 50, inputs={"cached_tokens": 30, "audio_tokens": 20, "image_tokens": 10}, outputs={"audio_tokens": 45}),
            Usage(
                input_tokens=40, cache_read_tokens=30, audio_input_tokens=20, image_input_tokens=10, output_tokens=5, audio_output_tokens=45
            ),
        ),
        (
            chat(100, 1, inputs={"cached_tokens": 30, "cache_write_tokens": 20}),
            Usage(input_tokens=50, cache_read_tokens=30, cache_write_tokens=20, output_tokens=1),
        ),
        # DeepSeek and Moonshot name cached tokens in their own places.
        (
            chat(100, 1, prompt_cache_hit_tokens=60, prompt_cache_miss_tokens=40),
            Usage(input_tokens=40, cache_read_tokens=60, output_tokens=1),
        ),
        (chat(100, 1, cached_tokens=60), Usage(input_tokens=40, cache_read_tokens=60, output_tokens=1)),
        # Hosts that count reasoning beside the completion: the total gives them away.
        (chat(32, 9, total=135, outputs={"reasoning_tokens": 94}), Usage(input_tokens=32, output_tokens=9, reasoning_tokens=94)),
        (chat(32, 100, total=226, outputs={"reasoning_tokens": 94}), Usage(input_tokens=32, output_tokens=100, reasoning_tokens=94)),
        # Hosts that count cached tokens beside the prompt.
        (chat(10, 5, inputs={"cached_tokens": 90}), Usage(input_tokens=10, cache_read_tokens=90, output_tokens=5)),
        (chat(95, 5, total=190, inputs={"cached_tokens": 90}), Usage(input_tokens=95, cache_read_tokens=90, output_tokens=5)),
        (
            chat(95, 5, total=197, inputs={"cached_tokens": 90}, outputs={"reasoning_tokens": 7}),
            Usage(input_tokens=95, cache_read_tokens=90, output_tokens=5, reasoning_tokens=7),
        ),
        # Anthropic's names in chat form, with the split of writes.
        (
            chat(100, 1, cache_creation_input_tokens=50, cache_creation={"ephemeral_1h_input_tokens": 40}),
            Usage(input_tokens=50, cache_write_tokens=10, cache_write_1h_tokens=40, output_tokens=1),
        ),
        (chat(10, 5, server_tool_use={"web_search_requests": 3}), Usage(input_tokens=10, output_tokens=5, searches=3)),
        (chat(10, 5, num_search_queries=2), Usage(input_tokens=10, output_tokens=5, searches=2)),
        # An explicit zero is a report.
        (chat(0, 0), Usage()),
        (chat(10, 0), Usage(input_tokens=10)),
        # Nonsense counts as nothing, and is never negative.
        (chat(10, -5, total=0), Usage(input_tokens=10)),
        ({"prompt_tokens": 10.0, "completion_tokens": True, "prompt_tokens_details": "x"}, Usage(input_tokens=10)),
    ],
)
def test_chat_reports_become_disjoint_meters(report, usage):
    assert usage_from_chat(report) == usage


@pytest.mark.parametrize("report", [None, {}, [], "10", {"prompt_tokens": None}, {"prompt_tokens": "10"}, {"total_tokens": 3}])
def test_no_report_is_not_a_report_of_zero(report):
    assert usage_from_chat(report) is None


_COUNT = st.integers(-5, 300)


@given(
    st.fixed_dictionaries(
        {"prompt_tokens": _COUNT, "completion_tokens": _COUNT},
        optional={
            "total_tokens": _COUNT,
            "prompt_tokens_details": st.dictionaries(
                st.sampled_from(["cached_tokens", "audio_tokens", "image_tokens", "cache_write_tokens"]), _COUNT
            ),
            "completion_tokens_details": st.dictionaries(st.sampled_from(["reasoning_tokens", "audio_tokens", "image_tokens"]), _COUNT),
        },
    )
)
def test_meters_never_go_negative_and_always_add_up(report):
    usage = usage_from_chat(report)
    details = report.get("prompt_tokens_details", {})
    cached = max(details.get("cached_tokens", 0), 0) + max(details.get("cache_write_tokens", 0), 0)
    prompt, completion = max(report["prompt_tokens"], 0), max(report["completion_tokens"], 0)
    reasoning = max(report.get("completion_tokens_details", {}).get("reasoning_tokens", 0), 0)
    assert all(getattr(usage, name) >= 0 for name in Usage.__struct_fields__)
    assert usage.prompt_tokens in (prompt, prompt + cached)
    assert usage.completion_tokens in (completion, completion + reasoning)


@pytest.mark.parametrize(
    ("report", "usage"),
    [
        ({"input_tokens": 10, "output_tokens": 5}, Usage(input_tokens=10, output_tokens=5)),
        # Cache reads and writes are beside input_tokens.
        (
            {"input_tokens": 4, "cache_read_input_tokens": 1000, "cache_creation_input_tokens": 200, "output_tokens": 5},
            Usage(input_tokens=4, cache_read_tokens=1000, cache_write_tokens=200, output_tokens=5),
        ),
        (
            {
                "input_tokens": 0,
                "output_tokens": 0,
                "cache_creation_input_tokens": 10_000,
                "cache_creation": {"ephemeral_5m_input_tokens": 2_000, "ephemeral_1h_input_tokens": 8_000},
            },
            Usage(cache_write_tokens=2_000, cache_write_1h_tokens=8_000),
        ),
        (
            {"input_tokens": 0, "output_tokens": 0, "cache_creation": {"ephemeral_1h_input_tokens": 344_139}},
            Usage(cache_write_1h_tokens=344_139),
        ),
        (
            {"input_tokens": 1, "output_tokens": 0, "cache_creation_input_tokens": None, "cache_creation": None},
            Usage(input_tokens=1),
        ),
        (
            {"input_tokens": 1, "output_tokens": 50, "output_tokens_details": {"thinking_tokens": 40}},
            Usage(input_tokens=1, output_tokens=10, reasoning_tokens=40),
        ),
        (
            {"input_tokens": 1, "output_tokens": 1, "server_tool_use": {"web_search_requests": 2}},
            Usage(input_tokens=1, output_tokens=1, searches=2),
        ),
        ({"input_tokens": 0, "output_tokens": 0}, Usage()),
        # Several billed passes in one answer: the top level leaves out all but the last.
        (
            {
                "input_tokens": 23_000,
                "output_tokens": 1_000,
                "iterations": [
                    {"type": "compaction", "input_tokens": 180_000, "output_tokens": 3_500},
                    {"type": "message", "input_tokens": 23_000, "output_tokens": 1_000},
                ],
            },
            Usage(input_tokens=203_000, output_tokens=4_500),
        ),
        (None, None),
        ({}, None),
    ],
)
def test_messages_reports_become_disjoint_meters(report, usage):
    assert usage_from_messages(report) == usage


def test_cumulative_reports_of_a_stream_are_never_summed():
    held = {}
    for report in (
        {"input_tokens": 0, "output_tokens": 0},
        {"input_tokens": 10, "output_tokens": 1, "cache_creation": {"ephemeral_1h_input_tokens": 7}},
        {"output_tokens": 40},
        {"output_tokens": 90, "cache_read_input_tokens": 30},
    ):
        merge_messages_report(held, report)
    assert usage_from_messages(held) == Usage(input_tokens=10, cache_read_tokens=30, cache_write_1h_tokens=7, output_tokens=90)


@pytest.mark.parametrize(
    ("report", "usage"),
    [
        ({"promptTokenCount": 10, "candidatesTokenCount": 5, "totalTokenCount": 15}, Usage(input_tokens=10, output_tokens=5)),
        # Thoughts are beside the candidates.
        (
            {"promptTokenCount": 10, "candidatesTokenCount": 5, "thoughtsTokenCount": 100, "totalTokenCount": 115},
            Usage(input_tokens=10, output_tokens=5, reasoning_tokens=100),
        ),
        # Cached tokens are inside the prompt; prompts of tools are beside it.
        (
            {"promptTokenCount": 100, "cachedContentTokenCount": 60, "toolUsePromptTokenCount": 7, "candidatesTokenCount": 5},
            Usage(input_tokens=47, cache_read_tokens=60, output_tokens=5),
        ),
        (
            {
                "promptTokenCount": 100,
                "cachedContentTokenCount": 50,
                "candidatesTokenCount": 1_300,
                "promptTokensDetails": [
                    {"modality": "TEXT", "tokenCount": 30},
                    {"modality": "AUDIO", "tokenCount": 50},
                    {"modality": "IMAGE", "tokenCount": 20},
                ],
                "cacheTokensDetails": [{"modality": "AUDIO", "tokenCount": 40}, {"modality": "TEXT", "tokenCount": 10}],
                "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 1_290}],
            },
            Usage(
                input_tokens=20,
                cache_read_tokens=50,
                audio_input_tokens=10,
                image_input_tokens=20,
                output_tokens=10,
                image_output_tokens=1_290,
            ),
        ),
        ({"promptTokenCount": 10, "totalTokenCount": 10}, Usage(input_tokens=10)),
        ({"promptTokenCount": 0, "candidatesTokenCount": 0}, Usage()),
        ({"promptTokenCount": 5, "cachedContentTokenCount": 50}, Usage(cache_read_tokens=5)),
        ({}, None),
        (None, None),
    ],
)
def test_gemini_reports_become_disjoint_meters(report, usage):
    assert usage_from_gemini(report) == usage
