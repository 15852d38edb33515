"""Tollway as it runs in production, in a folder of its own: engines, migrations, catalog, one web worker, Celery worker and beat."""

import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, LiteralString, Self
from urllib.request import Request, urlopen

import psycopg

from bench.machine import ROOT, Cores, children
from bench.servers import BenchFailed, Child, Upstreams, run_driver
from gateway.local.engines import Engines
from gateway.local.processes import choose_port

_READY_WITHIN_S = 60.0
CHAT_PATH = "/api/v1/chat/completions"


class Stack:
    """A running gateway. ``key`` opens it; ``model`` is answered by the static upstream, ``stream_model`` by the streaming one.

    ``variables`` are settings beside those of every run.
    """

    def __init__(self, *, cores: Cores, application: str = "gateway.asgi:application", variables: Mapping[str, str] | None = None) -> None:
        self._scratch = tempfile.TemporaryDirectory(prefix="tollway-bench-")
        self.folder = Path(self._scratch.name)
        self.folder.chmod(0o755)  # PostgreSQL of a root user runs as another one, who has to walk down to its data
        self.cores = cores
        self.upstreams = Upstreams(self.folder)
        self.port = choose_port()
        self.key = self.model = self.stream_model = ""
        self._application = application
        self._variables = dict(variables or {})
        self._engines = Engines(self.folder / "data")
        self._env: dict[str, str] = {}
        self._children: dict[str, Child] = {}
        self.worker_pid = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def start_engines(self) -> None:
        """Start PostgreSQL, the two Valkeys and the upstreams. Raises: EngineError, BenchFailed."""
        urls = self._engines.start()
        self.upstreams.start()
        self._env = {
            "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
            "HOME": str(self.folder),
            "DJANGO_SETTINGS_MODULE": "gateway.settings",
            "SECRET_KEY": secrets.token_urlsafe(48),
            "DATABASE_URL": urls.database_url,
            "REDIS_URL": urls.redis_url,
            "BROKER_REDIS_URL": urls.broker_redis_url,
            "TOLLWAY_DATA": str(self.folder / "data"),
            "HOST": "127.0.0.1",
            "PORT": str(self.port),
            "WEB_CONCURRENCY": "1",
            "LOG_LEVEL": "WARNING",
            **self._variables,
        }

    def prepare(self) -> None:
        """Migrate, load and publish the catalog, seed an organization with credit and a key. Raises: BenchFailed."""
        for command in (["migrate", "--no-input"], ["load_catalog"]):
            self.manage(*command)
        port, stream_port = self.upstreams.static_port, self.upstreams.stream_port
        said = self._run([sys.executable, "-m", "bench.seed", str(port), str(stream_port)])
        seeded = json.loads(said.strip().splitlines()[-1])
        self.key, self.model, self.stream_model = seeded["key"], seeded["model"], seeded["stream_model"]

    def manage(self, *arguments: str) -> str:
        """Run a management command and return what it printed. Raises: BenchFailed."""
        return self._run([sys.executable, "manage.py", *arguments])

    def try_manage(self, *arguments: str) -> tuple[int, str]:
        """Run a management command; return its exit status and what it printed."""
        done = self._call([sys.executable, "manage.py", *arguments])
        return done.returncode, (done.stdout + done.stderr).strip()

    def start_web(self) -> None:
        """Start gunicorn with one worker, with the configuration of the image, on the measured core."""
        bind = ["--workers", "1", "--bind", f"127.0.0.1:{self.port}"]
        command = [sys.executable, "-m", "gunicorn", "-c", "docker/gunicorn.conf.py", *bind, self._application]
        web = self._start("web", command)
        self.cores.give_measured(web.pid)
        web.await_port(self.port)
        self._await_ready(web)
        self.worker_pid = children(web.pid)[0]

    def start_jobs(self) -> None:
        """Start the Celery worker and beat."""
        self.start_settlement()
        schedule = self.folder / "beat-schedule"
        self._start("beat", [sys.executable, "-m", "celery", "-A", "gateway.celery", "beat", "-l", "WARNING", "--pidfile=", "-s", schedule])

    def start_settlement(self) -> None:
        """Start the Celery worker alone: beat's wake-ups go on without it."""
        self._start(
            "celery", [sys.executable, "-m", "celery", "-A", "gateway.celery", "worker", "-l", "WARNING", "-c", "2", "-Q", "default,ledger"]
        )

    def stop_settlement(self) -> None:
        """Stop the Celery worker."""
        self._children.pop("celery").stop()

    def _start(self, name: str, command: list[Any]) -> Child:
        child = self._children[name] = Child(command, env=self._env, log=self.folder / f"{name}.log")
        return child

    def _await_ready(self, web: Child) -> None:
        deadline = time.monotonic() + _READY_WITHIN_S
        said = ""
        while time.monotonic() < deadline:
            try:
                request = Request(
                    f"http://127.0.0.1:{self.port}{CHAT_PATH}", data=self.body().encode(), headers={"authorization": f"Bearer {self.key}"}
                )
                with urlopen(request, timeout=5) as answer:  # noqa: S310
                    if answer.status == 200:  # noqa: PLR2004 -- HTTP
                        return
            except OSError as error:
                reader = getattr(error, "read", None)
                said = f"{error} {reader().decode(errors='replace')[:500] if reader else ''}"
            time.sleep(0.2)
        web.fail(f"gives no answer ({said})")

    def body(self) -> str:
        """Return the request whose answer comes whole."""
        message = {"role": "user", "content": "Say something short about foxes and dogs."}
        return json.dumps({"model": self.model, "messages": [message], "max_tokens": 64})

    def stream_body(self, *, chunks: int, pace_us: int) -> str:
        """Return the request for a stream of ``chunks`` chunks, one every ``pace_us`` microseconds."""
        message = {"role": "user", "content": "Say something long about foxes and dogs."}
        return json.dumps({"model": self.stream_model, "messages": [message], "stream": True, "max_tokens": chunks, "seed": pace_us})

    def count_receipts(self) -> int:
        """Return how many usage rows PostgreSQL has."""
        return int(self._select("SELECT count(*) FROM billing_usageevent")[0])

    def sum_receipts(self) -> tuple[int, int, int]:
        """Return how many usage rows there are, what they add up to in nanos, and how many different amounts whole answers had."""
        row = self._select(
            "SELECT count(*), coalesce(sum(amount_nanos), 0)::bigint, count(DISTINCT amount_nanos) FILTER (WHERE NOT streamed)"
            " FROM billing_usageevent"
        )
        return int(row[0]), int(row[1]), int(row[2])

    def _select(self, query: LiteralString) -> tuple[Any, ...]:
        with psycopg.connect(self._env["DATABASE_URL"]) as connection:
            row = connection.execute(query).fetchone()
        if row is None:
            raise BenchFailed("PostgreSQL counts nothing")
        return row

    def warm_up(self, duration_s: float) -> int:
        """Load a little, so that pools are full; returns how many answers came. Raises: BenchFailed."""
        job = {"kind": "closed", "port": self.port, "path": CHAT_PATH, "key": self.key, "body": self.body()}
        told = run_driver({**job, "connections": 16, "duration_s": duration_s})
        if told["failures"]:
            self._children["web"].fail(f"failed {told['failures']} of {told['failures'] + told['requests']} requests at warm-up")
        return int(told["requests"])

    def _call(self, command: list[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, env=self._env, cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603 -- ours

    def _run(self, command: list[str]) -> str:
        done = self._call(command)
        if done.returncode:
            raise BenchFailed(f"{' '.join(command[1:])} failed:\n{(done.stdout + done.stderr)[-3000:]}")
        return done.stdout

    def last_words(self) -> str:
        """Return the ends of all logs, for a report of what went wrong."""
        return "\n".join(f"--- {name}\n{child.log.read_text(errors='replace')[-1500:]}" for name, child in self._children.items())

    def stop(self) -> None:
        """Stop everything and remove the folder."""
        for name in ("web", "beat", "celery"):
            if name in self._children:
                self._children.pop(name).stop()
        self.upstreams.stop()
        self._engines.stop()
        self._scratch.cleanup()
