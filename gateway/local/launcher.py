"""From nothing to a running service on one machine: the order of ``make run``."""

import fcntl
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg import sql

from gateway.local.access import keep_demo_access, keep_secret_key
from gateway.local.configuration import ROOT, Configuration, child_environment
from gateway.local.engines import Engines, EngineUrls
from gateway.local.model import find_model
from gateway.local.payments import payment_command, payment_variables, runs_payments
from gateway.local.preparation import step_of
from gateway.local.processes import choose_port
from gateway.local.progress import Progress
from gateway.local.running import publish_running
from gateway.local.supervisor import Program, Supervisor, echo_to_terminal

_DATABASE = "tollway"
_NEED_NO_DATABASE = {"model", "simulator", "stripe"}  # may load while the database is made ready
_READY_WITHIN_S = 180.0
_ASK_EVERY_S = 0.5
_ENGINE_CHECK_EVERY_S = 0.5


class CannotStart(Exception):
    """The message says why and what to do."""


def run(configuration: Configuration, progress: Progress) -> None:
    """Start everything, say how to use it, and serve until a signal. Raises: CannotStart, EngineError."""
    data = configuration.data
    data.mkdir(parents=True, exist_ok=True)
    with _hold(data / "lock"), Supervisor(log_folder=data / "logs") as supervisor:
        _require_free(configuration)
        progress.begin("starting PostgreSQL and Valkey")
        engines = _make_engines(configuration)
        try:
            urls = engines.start()
            if urls.database_url:
                urls = urls._replace(database_url=_make_database(urls.database_url))
            ports = _keep_ports(data / "ports.json")
            access = keep_demo_access(data / "demo.env", public_url=configuration.public_url)
            environment = _make_environment(configuration, urls, ports)
            publish_running(data, environment)
            programs = _list_programs(configuration, environment, ports)
            for name in programs.keys() & _NEED_NO_DATABASE:
                supervisor.start(programs.pop(name))
            _prepare(environment, data / "demo.env", log=data / "logs" / "preparation.log", progress=progress, supervisor=supervisor)
            if not supervisor.is_stopping:
                progress.begin("starting the web server and the workers")
                for program in programs.values():
                    supervisor.start(program)
                _await_ready(configuration, supervisor)
            if not supervisor.is_stopping:
                progress.finish()
                progress.show_welcome(configuration, access)
                supervisor.echo = echo_to_terminal
                supervisor.serve(until=_keep_alive(engines))
            progress.say("Stopping …")
        finally:
            supervisor.stop()
            engines.stop()


@contextmanager
def _hold(path: Path) -> Iterator[None]:
    """Let one launcher at a time work on a data folder."""
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            raise CannotStart(
                f"Another Tollway (process {file.read().strip() or 'unknown'}) uses {path.parent}. "
                "Stop it, or set TOLLWAY_DATA to another folder and PORT to another port."
            ) from error
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def _require_free(configuration: Configuration) -> None:
    family = socket.AF_INET6 if ":" in configuration.host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((configuration.host, configuration.port))
        except OSError as error:
            raise CannotStart(
                f"Cannot listen on {configuration.host}:{configuration.port} ({error.strerror}). "
                f"Try another port: make run PORT={configuration.port % 65_000 + 1}"
            ) from error


def _make_engines(configuration: Configuration) -> Engines:
    return Engines(
        configuration.data,
        postgres=not configuration.database_url,
        money=not configuration.redis_url,
        # Without a broker of its own, a given REDIS_URL serves as one.
        broker=not configuration.broker_redis_url and not configuration.redis_url,
    )


def _make_database(server_url: str) -> str:
    with psycopg.connect(server_url, autocommit=True) as connection:
        if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [_DATABASE]).fetchone():
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(_DATABASE)))
    return f"{server_url.rpartition('/')[0]}/{_DATABASE}"


def _keep_ports(path: Path) -> dict[str, int]:
    """Return ports for the simulators and the model: the same as last time where they are free."""
    try:
        kept = {str(name): int(port) for name, port in json.loads(path.read_text()).items()}
    except (OSError, ValueError, AttributeError):
        kept = {}
    for name in ("simulator", "model", "stripe"):
        kept[name] = choose_port(kept.get(name))
    path.write_text(json.dumps(kept))
    return kept


def _make_environment(configuration: Configuration, urls: EngineUrls, ports: dict[str, int]) -> dict[str, str]:
    changes = {
        "DJANGO_SETTINGS_MODULE": "gateway.settings",
        "TOLLWAY_DATA": str(configuration.data),
        "HOST": configuration.host,
        "PORT": str(configuration.port),
        "WEB_CONCURRENCY": str(configuration.web_processes),
        "DEMO_MODE": "1" if configuration.is_demo else "0",
        "GRACEFUL_TIMEOUT": str(configuration.graceful_timeout_s),
        "PYTHONUNBUFFERED": "1",
    }
    made = {"DATABASE_URL": urls.database_url, "REDIS_URL": urls.redis_url, "BROKER_REDIS_URL": urls.broker_redis_url}
    changes |= {name: url for name, url in made.items() if url}
    if not configuration.has_secret_key:
        changes["SECRET_KEY"] = keep_secret_key(configuration.data / "secret_key")
    if configuration.is_demo:
        changes["SIMULATOR_URL"] = f"http://127.0.0.1:{ports['simulator']}"
    if runs_payments(configuration):
        changes |= payment_variables(configuration, port=ports["stripe"])
    if _runs_model(configuration):
        changes["LOCAL_MODEL_URL"] = f"http://127.0.0.1:{ports['model']}/v1"
    return {"LOG_FORMAT": "plain"} | child_environment(changes)


def _runs_model(configuration: Configuration) -> bool:
    return configuration.wants_model and not configuration.model_url and find_model() is not None


def _prepare(environment: dict[str, str], demo_env: Path, *, log: Path, progress: Progress, supervisor: Supervisor) -> None:
    command = [sys.executable, "-m", "gateway.local.preparation", str(demo_env)]
    with (
        log.open("w") as file,
        subprocess.Popen(  # noqa: S603 -- our own module
            command, env=environment, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as process,
    ):
        said: list[str] = []
        for line in process.stdout or ():
            file.write(line)
            said.append(line)
            if step := step_of(line):
                progress.begin(step)
            if supervisor.is_stopping:
                process.terminate()
    if process.returncode and not supervisor.is_stopping:
        raise CannotStart(f"Preparation failed while {progress.current}:\n{''.join(said[-25:])}\nAll of it is in {log}.")


def _list_programs(configuration: Configuration, environment: dict[str, str], ports: dict[str, int]) -> dict[str, Program]:
    python, celery = [sys.executable, "-m"], [sys.executable, "-m", "celery", "-A", "gateway.celery"]
    concurrency = str(configuration.worker_processes)
    commands: dict[str, list[str | Path]] = {}
    if _runs_model(configuration):
        commands["model"] = [*python, "gateway.local.model", str(ports["model"]), str(configuration.model_threads)]
    if configuration.is_demo:
        commands["simulator"] = [*python, "uvicorn", "gateway.simulator.app:app", "--host", "127.0.0.1", "--port", str(ports["simulator"])]
        commands["simulator"] += ["--workers", "1", "--log-level", "warning", "--no-access-log"]
    if runs_payments(configuration):
        commands["stripe"] = payment_command(configuration, port=ports["stripe"])
    commands["worker"] = [*celery, "worker", "-Q", "default,ledger", "-c", concurrency, "-l", "WARNING"]
    commands["worker"] += ["--without-mingle", "--without-gossip", "-n", "worker@tollway"]
    commands["beat"] = [*celery, "beat", "-l", "WARNING", "--pidfile=", "-s", configuration.data / "beat-schedule"]
    commands["web"] = [*python, "gunicorn", "-c", ROOT / "docker" / "gunicorn.conf.py", "gateway.asgi:application"]
    patience_s = configuration.graceful_timeout_s + 5.0
    return {
        name: Program(name=name, command=command, environment=environment, folder=ROOT, stop_within_s=patience_s)
        for name, command in commands.items()
    }


def _await_ready(configuration: Configuration, supervisor: Supervisor) -> None:
    asked_at_s = 0.0

    def is_ready() -> bool:
        nonlocal asked_at_s
        if time.monotonic() - asked_at_s < _ASK_EVERY_S:
            return False
        asked_at_s = time.monotonic()
        return _fetch_readiness(configuration)[0]

    if supervisor.serve(until=is_ready, timeout_s=_READY_WITHIN_S) or supervisor.is_stopping:
        return
    raise CannotStart(
        f"Not ready after {_READY_WITHIN_S:.0f} s. {_fetch_readiness(configuration)[1]}\n"
        f"The web server's last lines:\n{supervisor.tail('web')}\nAll logs are in {configuration.data / 'logs'}."
    )


def _fetch_readiness(configuration: Configuration) -> tuple[bool, str]:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"{configuration.local_url}/readyz", timeout=5) as answer:
            return answer.status == 200, ""  # noqa: PLR2004 -- HTTP's OK
    except urllib.error.HTTPError as error:
        return False, f"/readyz answers {error.code}: {error.read(2000).decode(errors='replace')}"
    except OSError as error:
        return False, f"/readyz does not answer: {error}"


def _keep_alive(engines: Engines) -> Callable[[], bool]:
    """Return an endless condition that also starts dead engines again."""
    checked_at_s = time.monotonic()

    def check() -> bool:
        nonlocal checked_at_s
        if time.monotonic() - checked_at_s > _ENGINE_CHECK_EVERY_S:
            for name in engines.revive():
                echo_to_terminal(name, b"died and was started again")
            checked_at_s = time.monotonic()
        return False

    return check
