"""``python -m gateway.compiled [--if-possible]``: compile the hot path, unless that is done."""

import argparse
import sys
import time

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from gateway.compiled.build import BuildFailed, build, find_compiler
from gateway.compiled.finder import find_obstacle
from gateway.compiled.modules import FOLDER, MODULES, ROOT


def main() -> None:
    """Compile, with a bar; exits with 1 when it cannot be done."""
    parser = argparse.ArgumentParser(prog="python -m gateway.compiled", description=__doc__)
    parser.add_argument("--if-possible", action="store_true", help="leave it at Python where there is no C compiler")
    options = parser.parse_args()
    console = Console(highlight=False)
    say = console.print
    obstacle = find_obstacle()
    if not obstacle:
        say(f"The hot path is compiled ({FOLDER.relative_to(ROOT)}).")
        return
    if find_compiler() is None:
        say("There is no C compiler with Python's headers here (Debian: apt install gcc python3-dev). The hot path stays Python.")
        sys.exit(0 if options.if_possible else 1)
    begun_s = time.monotonic()
    with Progress(TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), console=console) as progress:
        bars: dict[str, TaskID] = {}

        def tell(what: str, done: int, total: int) -> None:
            if what not in bars:
                bars[what] = progress.add_task(what, total=total)
            progress.update(bars[what], completed=done)

        try:
            build(tell)
        except BuildFailed as error:
            progress.stop()
            sys.exit(f"The hot path could not be compiled: {error}.")
    say(f"Compiled {len(MODULES)} modules in {time.monotonic() - begun_s:.0f} s ({FOLDER.relative_to(ROOT)}).")


if __name__ == "__main__":
    main()
