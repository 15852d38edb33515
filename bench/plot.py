"""The plot of a run, as SVG."""

from pathlib import Path
from typing import Any

from bench.figures import Figures

_COLOURS = ("#9aa4b2", "#4c78a8", "#e45756")


def draw(figures: Figures, path: Path) -> None:
    """Draw requests per second, latency and streams of every peer."""
    import matplotlib as mpl  # noqa: PLC0415 -- slow to load and needed at the very end only

    mpl.use("svg")
    mpl.rcParams.update({"svg.hashsalt": "tollway", "font.size": 9, "axes.spines.top": False, "axes.spines.right": False})
    from matplotlib import pyplot as plt  # noqa: PLC0415

    figure, (rates, latencies, streams) = plt.subplots(1, 3, figsize=(12, 3.6), layout="constrained")
    for (who, loads), colour in zip(figures.loads.items(), _COLOURS, strict=False):
        labels = [str(load.connections) for load in loads]
        rates.plot(labels, [load.per_s for load in loads], "o-", color=colour, label=who)
        latencies.plot(labels, [load.p50_ms for load in loads], "o-", color=colour, label=f"{who}, p50")
        latencies.plot(labels, [load.p99_ms for load in loads], "o:", color=colour, label=f"{who}, p99")
    _finish(rates, "Whole answers: requests/s", "connections")
    _finish(latencies, "Whole answers: latency, ms", "connections")
    for (who, runs), colour in zip(figures.streams.items(), (_COLOURS[0], _COLOURS[2]), strict=False):
        labels = [f"{one.streams} × {one.offered_per_s / one.streams:,.0f}/s" for one in runs]
        streams.plot(labels, [one.first_p50_ms for one in runs], "o-", color=colour, label=f"{who}, first byte p50")
        streams.plot(labels, [one.delay_p50_ms for one in runs], "o:", color=colour, label=f"{who}, delay of a chunk p50")
    _finish(streams, "Streams: ms", "streams × chunks/s each")
    figure.savefig(path, format="svg", metadata={"Date": None})
    plt.close(figure)


def _finish(axes: Any, title: str, below: str) -> None:
    axes.set_yscale("log")
    axes.set_title(title)
    axes.set_xlabel(below)
    axes.grid(visible=True, axis="y", alpha=0.3)
    axes.legend(frameon=False, fontsize=7)
