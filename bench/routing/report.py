"""The report of the simulation, and its plot."""

from pathlib import Path
from typing import Final

from bench.machine import ROOT
from bench.routing.figures import Figures
from bench.routing.replay import Result
from bench.routing.world import CONNECT_TIMEOUT_MS

_REPORT: Final = ROOT / "docs" / "routing-simulation.md"
_PLOT: Final = ROOT / "docs" / "routing-simulation.svg"


def render(figures: Figures) -> str:
    """Return the report as Markdown."""
    goals = "\n".join(f"| {goal.what} | {goal.wanted} | {goal.measured} | {'yes' if goal.is_met else 'no'} |" for goal in figures.goals)
    return f"""\
# The router in simulation

{_describe_world(figures)}

Tollway's strategies run the production code (`gateway/relay`: routes, breaker, statistics) on the world's clock. The oracle knows how
every attempt would go and takes the cheapest that answers. LiteLLM's strategies follow its documentation, cooldowns included; they are
not its code.

![Requests not answered, cost and latency](routing-simulation.svg)

## Goals

| what | wanted | measured | met |
|---|---|---|---|
{goals}

## Strategies

Cost is compared on the requests that both answered. First tokens are counted from the request's arrival, failed attempts included.

| strategy | answered | cost above the oracle's | first token p50 ms | p99 ms | attempts per request |
|---|---|---|---|---|---|
{_rows(figures)}

## A dead provider

At 20 requests/s for one model whose cheapest provider dies: it is asked first for the last time {figures.dead_s:.2f} s after its death when
it refuses connections, {figures.silent_s:.2f} s when it swallows them (connecting times out after
{CONNECT_TIMEOUT_MS / 1000:g} s). From then on it is
tried by one request in thirty seconds.

## Hedging

A calm day with stragglers (1 to 3 % of answers take eight times as long to begin), sorted by price; the second endpoint starts after the
first's own p95.

| | first token p50 ms | p95 ms | p99 ms | second endpoints | spending |
|---|---|---|---|---|---|
| not hedged | {_delays(figures.plain)} | | |
| hedged | {_delays(figures.hedged)} | {figures.hedged.hedged / figures.requests:.1%} | {figures.hedge_spend:+.2%} |

A loser is cancelled when the winner speaks; it has cost its prompt, which is counted here as spent.
"""


def _describe_world(figures: Figures) -> str:
    outages = [one for one in figures.troubles if one.share == 1]
    brownouts = len(figures.troubles) - len(outages)
    minutes = sum(one.end_s - one.start_s for one in outages) / 60
    return f"""\
Written by `python -m bench.routing` (seed {figures.seed}; all of it took {figures.took_s:.0f} s). A day of {figures.requests:,} requests
for 12 models at {figures.sites} sites of 15 providers is replayed without a network: {len(outages)} outages of a provider, one at a time,
{minutes:,.0f} minutes together (refused, answered with 5xx, or swallowing connections), {brownouts} brown-outs in which 5 to 40 % of
a provider's requests fail, limits of 40 requests a minute at a quarter of the sites, speeds that drift over the day, stragglers, and
prices that move six times. Whether an attempt goes well depends on the request and the site alone, so all strategies meet the same luck.
Each has four attempts, as in production."""


def _rows(figures: Figures) -> str:
    oracle = figures.results[0]
    return "\n".join(
        f"| {one.name} | {one.success_share:.3%} | {one.cost_over(oracle):+.2%} | {one.percentile_ms(0.5):,.0f} |"
        f" {one.percentile_ms(0.99):,.0f} | {one.attempts / figures.requests:.3f} |"
        for one in figures.results
    )


def _delays(result: Result) -> str:
    return " | ".join(f"{result.percentile_ms(share):,.0f}" for share in (0.5, 0.95, 0.99))


def write(figures: Figures) -> list[Path]:
    """Write the report and the plot; return their paths."""
    _REPORT.write_text(render(figures), encoding="utf-8")
    _draw(figures)
    return [_REPORT, _PLOT]


def _draw(figures: Figures) -> None:
    import matplotlib as mpl  # noqa: PLC0415 -- slow to load and needed at the very end only

    mpl.use("svg")
    mpl.rcParams.update({"svg.hashsalt": "tollway", "font.size": 9, "axes.spines.top": False, "axes.spines.right": False})
    from matplotlib import pyplot as plt  # noqa: PLC0415

    oracle, *others = figures.results
    figure, (hours, costs, delays) = plt.subplots(1, 3, figsize=(13, 4), layout="constrained")
    for one in others:
        style = "-" if one.name.startswith("Tollway") else ":"
        failed = [failed / max(asked, 1) for failed, asked in zip(one.failed_by_hour, one.asked_by_hour, strict=True)]
        hours.plot(range(len(failed)), [share * 100 for share in failed], style, label=one.name)
    hours.set_title("Requests not answered, %, by hour")
    hours.legend(frameon=False, fontsize=7)
    names = [one.name for one in others]
    colours = ["#4c78a8" if name.startswith("Tollway") else "#9aa4b2" for name in names]
    costs.barh(names, [one.cost_over(oracle) * 100 for one in others], color=colours)
    costs.set_title("Cost above the oracle's, %")
    delays.barh(names, [one.percentile_ms(0.99) / 1_000 for one in others], color=colours)
    delays.set_title("First token p99, s")
    delays.set_yticklabels([])
    for axes in (costs, delays):
        axes.invert_yaxis()
        axes.grid(visible=True, axis="x", alpha=0.3)
    figure.savefig(_PLOT, format="svg", metadata={"Date": None})
    plt.close(figure)
