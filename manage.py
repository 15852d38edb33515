#!/usr/bin/env python
"""The door for people: management commands."""

import os
import sys

from gateway.local.running import adopt_running


def main() -> None:
    """Run a management command, on the copy that `make run` started when no other is named."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "gateway.settings")
    adopt_running()
    from django.core.management import execute_from_command_line  # noqa: PLC0415 -- settings first

    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
