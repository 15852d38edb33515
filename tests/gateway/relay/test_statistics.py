import math
import random
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.types import Usage
from gateway.relay.figures import DEGRADED, FALLBACK_ONLY, NORMAL, figures_of
from gateway.relay.headroom import read_headroom
from gateway.relay.samples import Sample
from gateway.relay.statistics import Statistics
from gateway.relay.tallies import Tally, bucket_of, find_percentiles, value_of


class Clock:
    def __init__(self) -> None:
        self.now_s = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now_s


class Observed:
    """Statistics with a clock of their own, which hear nobody else."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.statistics = Statistics(self.clock)

    def add(self, *samples: Sample) -> None:
        for sample in samples:
            self.statistics.record(sample)
        self.statistics.merge(self.statistics.take(), self.clock.now_s)
        self.statistics.refresh()


def answer(ms: int, *, endpoint: str = "a/m@one", total_ms: int = 1000, output_tokens: int = 50, **fields) -> Sample:
    usage = Usage(input_tokens=80, cache_read_tokens=20, output_tokens=output_tokens)
    return Sample(endpoint, "ok", first_token_ms=ms, total_ms=total_ms, usage=usage, **fields)


@given(st.floats(min_value=1, max_value=4_000_000))
def test_a_bucket_is_within_four_and_a_half_percent_of_what_fell_into_it(value):
    assert value_of(bucket_of(value)) == pytest.approx(value, rel=0.0443)


@given(st.lists(st.integers(min_value=1, max_value=100_000), min_size=1, max_size=300))
def test_percentiles_are_those_of_the_sorted_values(values):
    histogram: dict[int, int] = {}
    for value in values:
        histogram[bucket_of(value)] = histogram.get(bucket_of(value), 0) + 1

    found = find_percentiles(histogram, (0.5, 0.9, 0.99))

    for share, one in zip((0.5, 0.9, 0.99), found, strict=True):
        exact = sorted(values)[max(math.ceil(share * len(values)) - 1, 0)]
        assert one == pytest.approx(exact, rel=0.0443)


def test_percentiles_of_nothing_are_refused():
    with pytest.raises(ValueError, match="empty"):
        find_percentiles({}, (0.5,))


def test_nothing_is_known_of_an_endpoint_without_traffic():
    observed = Observed()
    assert observed.statistics.figures("a/m@one") is None
    assert observed.statistics.latency_ms("a/m@one", "p95") is None
    assert observed.statistics.throughput_tps("a/m@one") is None
    assert observed.statistics.grade("a/m@one") == NORMAL


def test_latency_and_throughput_are_percentiles_of_what_came_in():
    observed = Observed()
    observed.add(*(answer(ms, total_ms=1000, output_tokens=ms) for ms in range(1, 1001)))

    statistics = observed.statistics
    assert statistics.latency_ms("a/m@one", "p50") == pytest.approx(500, rel=0.045)
    assert statistics.latency_ms("a/m@one", "p90") == pytest.approx(900, rel=0.045)
    assert statistics.latency_ms("a/m@one", "p99") == pytest.approx(990, rel=0.045)
    # Nine in ten answers were faster than this.
    assert statistics.throughput_tps("a/m@one", "p90") == pytest.approx(100, rel=0.045)
    assert statistics.throughput_tps("a/m@one", "p50") == pytest.approx(500, rel=0.045)


def test_a_whole_answer_has_a_throughput_and_no_time_to_a_first_token():
    observed = Observed()
    observed.add(answer(0))
    assert observed.statistics.latency_ms("a/m@one") is None
    assert observed.statistics.throughput_tps("a/m@one") == pytest.approx(50, rel=0.045)


def test_after_five_minutes_nothing_is_left_and_no_memory_is_held():
    observed = Observed()
    observed.add(answer(100))
    observed.clock.now_s += 284
    observed.statistics.refresh()
    assert observed.statistics.figures("a/m@one") is not None

    observed.clock.now_s += 16
    observed.statistics.refresh()
    assert observed.statistics.figures("a/m@one") is None
    assert observed.statistics.long_figures("a/m@one").graded == 1

    observed.clock.now_s += 1800
    observed.statistics.refresh()
    assert observed.statistics.long_figures("a/m@one") is None
    assert list(observed.statistics.measured) == []


def test_a_window_that_slides_keeps_the_sum_of_what_is_in_it():
    observed = Observed()
    rng = random.Random(3)
    entries: list[tuple[float, int]] = []
    for _ in range(200):
        observed.clock.now_s += rng.choice((1, 7, 40))
        count = rng.randrange(1, 4)
        observed.add(*(answer(rng.randrange(1, 5000)) for _ in range(count)))
        entries.append((observed.clock.now_s, count))
        newest = int(observed.clock.now_s) // 15
        expected = sum(count for at, count in entries if int(at) // 15 > newest - 20)
        assert observed.statistics.figures("a/m@one").graded == expected


@pytest.mark.parametrize(
    ("succeeded", "failed", "grade"),
    [(95, 5, NORMAL), (94, 6, DEGRADED), (80, 20, DEGRADED), (79, 21, FALLBACK_ONLY), (10, 89, NORMAL), (0, 0, NORMAL)],
)
def test_uptime_is_graded_as_published_from_a_hundred_requests_on(succeeded, failed, grade):
    observed = Observed()
    observed.add(*[answer(100)] * succeeded, *[Sample("a/m@one", "server")] * failed)
    assert observed.statistics.grade("a/m@one") == grade
    assert observed.statistics.has_grades == (grade != NORMAL)


def test_rate_limits_and_the_callers_own_errors_are_no_part_of_the_uptime():
    observed = Observed()
    words = ("limited", "request", "refused", "context_length", "content_policy", "cancelled")
    observed.add(answer(100), *(Sample("a/m@one", word) for word in words for _ in range(200)))

    figures = observed.statistics.figures("a/m@one")
    assert (figures.graded, figures.limited, figures.uptime) == (1, 200, 1.0)


def test_output_length_and_cache_share_are_means_over_answers():
    observed = Observed()
    observed.add(answer(1, output_tokens=10), answer(1, output_tokens=30), Sample("a/m@one", "server"))
    figures = observed.statistics.figures("a/m@one")
    assert (figures.mean_output_tokens, figures.cached_share) == (20, 0.2)


def test_tool_calls_are_judged_against_the_tools_of_the_request():
    tools = [{"type": "function", "function": {"name": "add", "parameters": {"type": "object", "required": ["a"]}}}]
    observed = Observed()
    observed.add(
        answer(1, tools=tools, calls=[("add", '{"a": 1}')]),
        answer(1, tools=tools, calls=[("add", "{")]),
        answer(1, tools=tools, calls=[("subtract", '{"a": 1}')]),
        answer(1, tools=tools, calls=[]),
    )
    figures = observed.statistics.figures("a/m@one")
    assert (figures.tool_answers, figures.tool_faults) == (3, 2)


def test_the_last_answer_says_how_much_of_the_rate_limit_is_left_for_a_minute():
    observed = Observed()
    for left in (b"90", b"30"):
        headers = [(b"x-ratelimit-limit-requests", b"100"), (b"x-ratelimit-remaining-requests", left)]
        observed.add(answer(1, deployment="a/m@one", headers=headers))
    assert observed.statistics.headroom("a/m@one") == 0.3

    observed.clock.now_s += 61
    assert observed.statistics.headroom("a/m@one") is None


def test_the_tightest_of_several_limits_counts():
    assert (
        read_headroom(
            [
                (b"anthropic-ratelimit-requests-limit", b"50"),
                (b"anthropic-ratelimit-requests-remaining", b"49"),
                (b"anthropic-ratelimit-output-tokens-limit", b"8000"),
                (b"anthropic-ratelimit-output-tokens-remaining", b"2000"),
            ]
        )
        == 0.25
    )
    assert read_headroom([(b"x-ratelimit-limit-requests", b"many"), (b"content-type", b"text/plain")]) is None
    assert read_headroom([(b"x-ratelimit-limit-requests", b"10")]) is None


def test_tallies_added_and_taken_away_leave_nothing():
    one, two = Tally(), Tally({"ok": 2}, {5: 2}, {7: 1}, 1, 1, 2, 30, 10, 20)
    one.add(two)
    assert figures_of(one) == figures_of(two)
    one.add(two, -1)
    assert one == Tally()
    assert one.is_empty


def test_recording_takes_less_than_two_microseconds_and_what_is_never_folded_is_bounded():
    statistics = Statistics()
    usage = Usage(output_tokens=5)
    best_s = math.inf
    for _ in range(120):
        began_s = time.perf_counter()
        for _ in range(1000):
            statistics.record(Sample("a/m@one", "ok", 120, 900, usage, None, None, "a/m@one"))
        best_s = min(best_s, time.perf_counter() - began_s)
    assert best_s / 1000 < 2e-6
    assert statistics.take().tallies["a/m@one"].graded == 100_000
