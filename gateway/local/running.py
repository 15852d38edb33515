"""How management commands find the copy that ``make run`` started: the launcher leaves its stores' addresses in the data folder."""

import os
from pathlib import Path

from gateway.local.access import write_private
from gateway.local.configuration import ROOT

_NAMES = (
    "SECRET_KEY", "DATABASE_URL", "REDIS_URL", "BROKER_REDIS_URL", "DEMO_MODE", "SIMULATOR_URL", "LOCAL_MODEL_URL", "HOST", "PORT",
    "STRIPE_SECRET_KEY", "STRIPE_WEBHOOK_SECRET", "STRIPE_API_URL", "STRIPE_PAGE_ORIGINS",
)  # fmt: skip


def publish_running(data: Path, environment: dict[str, str]) -> None:
    """Leave what commands need in ``data``/service.env (mode 0600)."""
    write_private(data / "service.env", "".join(f"{name}={environment[name]}\n" for name in _NAMES if name in environment))


def adopt_running() -> None:
    """Take the variables of the copy in TOLLWAY_DATA (default .tollway), unless the environment names a database itself."""
    if "DATABASE_URL" in os.environ or "DATABASE_URL_FILE" in os.environ:
        return
    path = Path(os.environ.get("TOLLWAY_DATA") or ROOT / ".tollway") / "service.env"
    if not path.is_file():
        return
    for line in path.read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition("=")
        if f"{name}_FILE" not in os.environ:
            os.environ.setdefault(name, value)
