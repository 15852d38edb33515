"""``python -m bench``: measure and write docs/benchmarks.md; ``clients`` compares HTTP clients; ``profile`` shows where the time
goes; ``translation`` measures only what translating between formats costs, ``money`` settlement and admission alone, ``webhooks`` how
soon Stripe is answered.
"""

import argparse
import sys

from rich.console import Console

from bench.servers import BenchFailed
from gateway.local.engines import EngineError


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    kinds = ("run", "clients", "profile", "translation", "money", "webhooks")
    parser.add_argument("what", nargs="?", choices=kinds, default="run", help="what to do (default: run)")
    parser.add_argument("--quick", action="store_true", help="shorter phases, about 40 s; rough figures, not written to docs/")
    parser.add_argument("--unpinned", action="store_true", help="let all processes share all cores")
    parser.add_argument("--seconds", type=float, default=10.0, help="profile: for how long (default: 10)")
    parser.add_argument("--rounds", type=int, default=7, help="money, webhooks: how often each is measured (default: 7)")
    parser.add_argument("--streams", action="store_true", help="profile: streams instead of whole answers")
    parser.add_argument("--python", default=sys.executable, help="clients: the interpreter that has the clients to compare")
    parser.add_argument(
        "--write", action="store_true", help="write docs/ after a --quick run, or the part about translation, or the page about money"
    )
    return parser


def main() -> int:
    """Do what the command line says; return the exit status."""
    options = _parser().parse_args()
    console = Console(stderr=True)
    try:
        if options.what == "clients":
            from bench.clients import compare  # noqa: PLC0415 -- each mode loads what it needs

            compare(python=options.python, duration_s=2 if options.quick else 4, pinned=not options.unpinned, console=Console(width=200))
        elif options.what == "profile":
            from bench.profiling import profile  # noqa: PLC0415

            profile(seconds=options.seconds, streams=options.streams, pinned=not options.unpinned, console=Console(width=200))
        elif options.what == "translation":
            _translate(options, console)
        elif options.what == "money":
            from bench.money import measure  # noqa: PLC0415

            return 0 if measure(rounds=options.rounds, writes=options.write, console=Console(width=160)) else 1
        elif options.what == "webhooks":
            from bench import webhooks  # noqa: PLC0415

            return 0 if webhooks.measure(rounds=options.rounds, writes=options.write, console=Console(width=160)) else 1
        else:
            return _run(options, console)
    except (BenchFailed, EngineError) as error:
        console.print(str(error), style="red", markup=False)
        return 1
    return 0


def _run(options: argparse.Namespace, console: Console) -> int:
    from bench.report import render, write  # noqa: PLC0415
    from bench.run import run  # noqa: PLC0415

    figures = run(quick=options.quick, pinned=not options.unpinned, console=console)
    print(render(figures))
    if options.write or not options.quick:
        for path in write(figures):
            console.print(f"wrote {path}")
    return 0 if figures.books is not None and figures.books.agree else 1


def _translate(options: argparse.Namespace, console: Console) -> None:
    from bench.report import PAGE  # noqa: PLC0415
    from bench.translation import measure_all, render_section, replace_section  # noqa: PLC0415

    figures = measure_all(rounds=50 if options.quick else 200)
    print(render_section(figures))
    if options.write:
        replace_section(PAGE, figures)
        console.print(f"wrote {PAGE}")


if __name__ == "__main__":
    sys.exit(main())
