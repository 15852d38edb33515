"""What the launcher is told by variables. docker/.env.example explains each; every NAME may be NAME_FILE."""

import os
from dataclasses import dataclass
from pathlib import Path

from gateway.env import BadEnvironment, env_bool, env_int, env_str

ROOT = Path(__file__).resolve().parent.parent.parent
_PORT_MAX = 65_535
_WEB_PROCESSES = 2
_PATIENCE_S = 10  # whoever presses Ctrl-C does not want to wait a minute for a stream


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Configuration:
    """One copy on one machine. Empty URLs mean: start our own."""

    host: str
    port: int
    public_url: str
    data: Path
    database_url: str
    redis_url: str
    broker_redis_url: str
    has_secret_key: bool
    has_stripe: bool
    is_demo: bool
    wants_model: bool
    model_url: str
    model_threads: int
    web_processes: int
    worker_processes: int
    graceful_timeout_s: int

    @property
    def local_url(self) -> str:
        """Where this machine reaches the web server."""
        host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(self.host, f"[{self.host}]" if ":" in self.host else self.host)  # noqa: S104 -- compared
        return f"http://{host}:{self.port}"


def read_configuration() -> Configuration:
    """Read the variables. Raises: BadEnvironment, whose message says which variable and what to do."""
    host, port = env_str("HOST", "127.0.0.1"), env_int("PORT", 8000)
    if not 0 < port <= _PORT_MAX:
        raise BadEnvironment(f"PORT must be from 1 to {_PORT_MAX}, not {port}.")
    shown = {"0.0.0.0": "localhost", "::": "localhost"}.get(host, host)  # noqa: S104 -- compared
    processors = os.cpu_count() or 1
    return Configuration(
        host=host,
        port=port,
        public_url=env_str("PUBLIC_URL", f"http://{shown}:{port}").rstrip("/"),
        data=Path(env_str("TOLLWAY_DATA", "") or ROOT / ".tollway").expanduser().resolve(),
        database_url=env_str("DATABASE_URL", ""),
        redis_url=env_str("REDIS_URL", ""),
        broker_redis_url=env_str("BROKER_REDIS_URL", ""),
        has_secret_key=bool(env_str("SECRET_KEY", "")),
        has_stripe=bool(env_str("STRIPE_SECRET_KEY", "")),
        is_demo=env_bool("DEMO_MODE", default=True),
        wants_model=env_bool("LOCAL_MODEL", default=True),
        model_url=env_str("LOCAL_MODEL_URL", ""),
        model_threads=env_int("LOCAL_MODEL_THREADS", min(processors, 2)),
        web_processes=env_int("WEB_CONCURRENCY", min(processors, _WEB_PROCESSES)),
        worker_processes=env_int("CELERY_CONCURRENCY", 2),
        graceful_timeout_s=env_int("GRACEFUL_TIMEOUT", _PATIENCE_S),
    )


def child_environment(changes: dict[str, str]) -> dict[str, str]:
    """Return our environment with ``changes``; a NAME_FILE of a changed name is dropped, because it would win."""
    dropped = {f"{name}_FILE" for name in changes}
    return {name: value for name, value in os.environ.items() if name not in dropped} | changes
