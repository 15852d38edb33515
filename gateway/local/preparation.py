"""Make the database and the files ready for this version: ``python -m gateway.local.preparation DEMO_ENV``.

A process of its own, so that Django's connections and threads never live in the supervisor. Every step may be repeated. Each prints
``step: <what>`` before it begins, which the launcher shows as progress.
"""

import os
import sys
from typing import TYPE_CHECKING

import django
from django.core.management import call_command

if TYPE_CHECKING:
    from collections.abc import Callable

_STEP = "step: "


def prepare(demo_env: str) -> None:
    """Check the settings, migrate, load and publish the catalog, collect static files, seed the demo."""
    django.setup()
    steps: list[tuple[str, Callable[[], object]]] = [
        ("checking the settings", lambda: call_command("check")),
        ("bringing the database up to date", lambda: call_command("migrate", interactive=False, verbosity=1)),
        ("loading the catalog", lambda: call_command("load_catalog")),
        ("collecting static files", lambda: call_command("collectstatic", interactive=False, verbosity=0)),
        ("preparing the demo's people, keys and credit", lambda: call_command("seed_demo", env_file=demo_env)),
    ]
    for what, run in steps:
        sys.stdout.write(f"{_STEP}{what}\n")
        sys.stdout.flush()
        run()


def step_of(line: str) -> str | None:
    """Return what a line of our output announces, or None for any other line."""
    return line.removeprefix(_STEP).strip() if line.startswith(_STEP) else None


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "gateway.settings")
    prepare(sys.argv[1])
