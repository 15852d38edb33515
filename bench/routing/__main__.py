"""``python -m bench.routing``: replay a day with every strategy, and write docs/routing-simulation.md with its plot."""

import argparse
import sys
import time

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from bench.routing import report
from bench.routing.figures import Figures, detect_dead, detect_silent
from bench.routing.replay import Replay, run_all
from bench.routing.strategies import LITELLM, Chance, LiteLlm, Strategy
from bench.routing.tollway import Tollway
from bench.routing.world import World


def measure(*, requests: int, seed: int, console: Console) -> Figures:
    """Replay everything."""
    began_s = time.perf_counter()
    world = World(seed=seed, requests=requests)
    strategies: list[Strategy] = [
        Tollway("Tollway, sorted by price", world, sort="price"),
        Tollway("Tollway, default", world),
        Tollway("Tollway, sorted by latency", world, sort="latency"),
        *(LiteLlm(name, world, value) for name, value in LITELLM.items()),
        Chance(world),
    ]
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:

        def told(name: str):  # type: ignore[no-untyped-def]  # noqa: ANN202 -- a closure
            task = progress.add_task(name, total=1.0)
            return lambda share: progress.update(task, completed=share)

        results = run_all(world, strategies, told=told)
        calm = World(seed=seed + 1, requests=requests, is_calm=True)
        busy_s = time.process_time()
        plain = Replay(calm).run(Tollway("not hedged", calm, sort="price"), progress=told("not hedged"))
        replay_s = time.process_time() - busy_s
        hedged = Replay(calm, hedges=True).run(Tollway("hedged", calm, sort="price"), progress=told("hedged"))
    return Figures(
        seed=seed,
        requests=requests,
        results=results,
        plain=plain,
        hedged=hedged,
        dead_s=detect_dead(per_s=20),
        silent_s=detect_silent(per_s=20),
        troubles=world.troubles,
        sites=len(world.all_sites),
        took_s=time.perf_counter() - began_s,
        replay_s=replay_s,
    )


def main() -> int:
    """Do what the command line says; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench.routing", description=__doc__)
    parser.add_argument("--requests", type=int, default=120_000, help="requests in the day (default: 120,000)")
    parser.add_argument("--seed", type=int, default=1, help="another seed is another world (default: 1)")
    parser.add_argument("--print", action="store_true", help="write nothing")
    options = parser.parse_args()
    console = Console(stderr=True)
    figures = measure(requests=options.requests, seed=options.seed, console=console)
    print(report.render(figures))
    if not options.print:
        for path in report.write(figures):
            console.print(f"wrote {path}")
    return 0 if all(goal.is_met for goal in figures.goals) else 1


if __name__ == "__main__":
    sys.exit(main())
