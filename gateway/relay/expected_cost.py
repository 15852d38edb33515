"""What a request will probably cost at an endpoint: the prompt as much from the cache as it lately was there, an answer as long as its
answers lately were. Pure. ``provider.sort: "expected_cost"`` compares it; a bound for the hold it is not.
"""

from collections.abc import Callable
from functools import partial
from typing import Final

from catalog.pricing import UnpricedMeter, cost
from catalog.types import Usage
from gateway.relay.catalog import Candidate
from gateway.relay.figures import Figures
from gateway.relay.preferences import Expectation

# Of an answer where nobody has measured any.
USUAL_OUTPUT_TOKENS: Final = 500


def usual_output_tokens(measured: list[Figures | None]) -> float:
    """Return how long the answers of the measured endpoints are on average: what the others are taken to write."""
    answers = sum(one.answers for one in measured if one is not None)
    tokens = sum(one.output_tokens for one in measured if one is not None)
    return tokens / answers if answers else USUAL_OUTPUT_TOKENS


def expected_picos(candidate: Candidate, figures: Figures | None, *, expected: Expectation, usual: float) -> int:
    """Return the probable cost of the request at the endpoint, in picos."""
    length = figures.mean_output_tokens if figures is not None else None
    output = round(usual if length is None else length)
    if expected.max_tokens is not None:
        output = min(output, expected.max_tokens)
    rates = candidate.endpoint.price.rates
    share = (figures.cached_share if figures is not None and "cache_read_tokens" in rates else None) or 0.0
    cached = round(expected.prompt_tokens * share)
    usage = Usage(input_tokens=expected.prompt_tokens - cached, cache_read_tokens=cached, output_tokens=output)
    try:
        return cost(candidate.endpoint.price, usage, service_tier=expected.service_tier, at=expected.at).picos
    except UnpricedMeter as unpriced:
        return unpriced.priced.picos


def valuer(expected: Expectation, measured: list[Figures | None]) -> Callable[[Candidate, Figures | None], float]:
    """Return what a sort compares, the least first, among endpoints of which this is measured."""
    return partial(expected_picos, expected=expected, usual=usual_output_tokens(measured))
