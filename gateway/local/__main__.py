"""``python -m gateway.local``: the whole service on one machine. ``make run`` calls it."""

import sys

from gateway.env import BadEnvironment
from gateway.local.configuration import read_configuration
from gateway.local.engines import EngineError
from gateway.local.launcher import CannotStart, run
from gateway.local.progress import Progress


def main() -> int:
    """Run until a signal; return the exit code: 0 after a clean stop, 1 when it could not start."""
    progress = Progress()
    try:
        run(read_configuration(), progress)
    except (BadEnvironment, CannotStart, EngineError) as error:
        progress.fail(str(error))
        return 1
    except KeyboardInterrupt:
        progress.fail("Stopped before it had begun.")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
