"""What the tallies of an endpoint say: uptime, percentiles, shares. Pure. Percentiles are as OpenRouter defines them: at pN, N % of the
requests did better, so p90 of a latency is high and p90 of a throughput is low.
"""

from typing import Final, Literal

import msgspec

from gateway.relay.tallies import LIMITED, OK, Tally, find_percentiles

Percentile = Literal["p50", "p75", "p90", "p95", "p99"]

PLACES: Final[dict[str, int]] = {"p50": 0, "p75": 1, "p90": 2, "p95": 3, "p99": 4}
_RISING: Final = (0.5, 0.75, 0.9, 0.95, 0.99)
_FALLING: Final = (0.01, 0.05, 0.1, 0.25, 0.5)
# OpenRouter's grades: with a hundred requests, from 95 % an endpoint is as good as any, under 80 % it is a fallback only.
GRADED_MIN: Final = 100
_NORMAL_MIN, _DEGRADED_MIN = 0.95, 0.80
NORMAL, DEGRADED, FALLBACK_ONLY = 0, 1, 2


class Figures(msgspec.Struct, frozen=True, gc=False):
    """What was measured at one endpoint over one window. Latency is the time to the first token of a stream, in milliseconds; throughput
    is output tokens by the whole time of the answer, in tokens a second. Empty tuples: not measured.
    """

    graded: int  # successes and the endpoint's own failures
    succeeded: int
    limited: int  # 429, counted apart
    first_token_ms: tuple[float, ...]
    tokens_per_s: tuple[float, ...]
    tool_answers: int
    tool_faults: int
    answers: int
    prompt_tokens: int
    cached_tokens: int
    output_tokens: int
    first_tokens: int  # streams whose first token was timed
    answer_ms: tuple[float, ...] = ()  # whole answers
    whole_answers: int = 0  # that were timed

    @property
    def uptime(self) -> float | None:
        """Successes by successes and failures, 0 to 1; None without either. The callers' own errors and 429 do not count."""
        return self.succeeded / self.graded if self.graded else None

    @property
    def grade(self) -> int:
        """NORMAL, DEGRADED or FALLBACK_ONLY. Too few requests are NORMAL."""
        if self.graded < GRADED_MIN or self.succeeded >= _NORMAL_MIN * self.graded:
            return NORMAL
        return DEGRADED if self.succeeded >= _DEGRADED_MIN * self.graded else FALLBACK_ONLY

    @property
    def mean_output_tokens(self) -> float | None:
        """Output tokens of an answer, on average; None without answers."""
        return self.output_tokens / self.answers if self.answers else None

    @property
    def cached_share(self) -> float | None:
        """Share of the prompt tokens that came from the provider's cache, 0 to 1; None without any."""
        return self.cached_tokens / self.prompt_tokens if self.prompt_tokens else None

    @property
    def tool_fault_rate(self) -> float | None:
        """Share of the answers with tool calls that had a bad one, 0 to 1; None without any."""
        return self.tool_faults / self.tool_answers if self.tool_answers else None

    def latency_ms(self, percentile: Percentile = "p50") -> float | None:
        """Return the time to the first token that this share of the streams kept below, in milliseconds; None when not measured."""
        return self.first_token_ms[PLACES[percentile]] if self.first_token_ms else None

    def whole_ms(self, percentile: Percentile = "p50") -> float | None:
        """Return the time to a whole answer that this share of them kept below, in milliseconds; None when not measured."""
        return self.answer_ms[PLACES[percentile]] if self.answer_ms else None

    def throughput_tps(self, percentile: Percentile = "p50") -> float | None:
        """Return the tokens a second that this share of the answers surpassed; None when not measured."""
        return self.tokens_per_s[PLACES[percentile]] if self.tokens_per_s else None


def figures_of(tally: Tally) -> Figures:
    """Return what ``tally`` says. About ten microseconds."""
    return Figures(
        graded=tally.graded,
        succeeded=tally.outcomes.get(OK, 0),
        limited=tally.outcomes.get(LIMITED, 0),
        first_token_ms=find_percentiles(tally.first_token_ms, _RISING) if tally.first_token_ms else (),
        tokens_per_s=find_percentiles(tally.tokens_per_s, _FALLING)[::-1] if tally.tokens_per_s else (),
        tool_answers=tally.tool_answers,
        tool_faults=tally.tool_faults,
        answers=tally.answers,
        prompt_tokens=tally.prompt_tokens,
        cached_tokens=tally.cached_tokens,
        output_tokens=tally.output_tokens,
        first_tokens=sum(tally.first_token_ms.values()),
        answer_ms=find_percentiles(tally.whole_ms, _RISING) if tally.whole_ms else (),
        whole_answers=sum(tally.whole_ms.values()),
    )
