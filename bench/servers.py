"""Child processes of a run: the static upstream, the plain nginx before it, and load drivers. All end with the run."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from bench.machine import ROOT
from bench.upstream import ANSWER
from gateway.local.processes import choose_port, is_listening, spawn

_READY_WITHIN_S = 30.0
_STOP_WITHIN_S = 10.0
_LUA = Path(__file__).with_name("post.lua")

_NGINX = """
worker_processes 1;
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  keepalive_requests 1000000000;
  tcp_nodelay on;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u;
  scgi_temp_path {folder}/s;
  upstream origin {{ server 127.0.0.1:{upstream_port}; keepalive 256; keepalive_requests 1000000000; }}
  {upstream_server}
  server {{
    listen 127.0.0.1:{proxy_port};
    location / {{ proxy_pass http://origin; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off; }}
  }}
}}
"""
_STATIC_SERVER = """server {{
    listen 127.0.0.1:{upstream_port};
    location / {{ default_type application/json; return 200 '{answer}'; }}
  }}"""


class BenchFailed(Exception):
    """The run cannot go on; the text says why and where to look."""


class Child:
    """A process that the run started. ``log`` has what it said."""

    def __init__(self, command: Sequence[str | Path], *, env: Mapping[str, str], log: Path) -> None:
        self.log = log
        with log.open("ab") as output:
            self.process = spawn(command, env=env, cwd=ROOT, output=output, death_signal=signal.SIGKILL)

    @property
    def pid(self) -> int:
        """The process id."""
        return self.process.pid

    def await_port(self, port: int) -> None:
        """Wait until something listens. Raises: BenchFailed."""
        deadline = time.monotonic() + _READY_WITHIN_S
        while not is_listening(port):
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.fail("did not start")
            time.sleep(0.05)

    def fail(self, what: str) -> None:
        """Raise BenchFailed with the last words of the process."""
        raise BenchFailed(f"{self.log.stem} {what}. Its last words:\n{self.log.read_text(errors='replace')[-3000:]}")

    def stop(self, *, sign: signal.Signals = signal.SIGTERM) -> None:
        """End it, gently first."""
        if self.process.poll() is not None:
            return
        self.process.send_signal(sign)
        try:
            self.process.wait(_STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


class Upstreams:
    """The upstream for whole answers (nginx where it is installed), the one for streams, and nginx as a plain proxy to the first."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._nginx = shutil.which("nginx")
        self._children: list[Child] = []
        self.static_port = choose_port()
        self.stream_port = choose_port()
        self.proxy_port = choose_port() if self._nginx else 0

    def start(self) -> None:
        """Start them. Raises: BenchFailed."""
        self._start_python("stream-upstream", self.stream_port)
        if self._nginx is None:
            self.static_port = self.stream_port
            return
        server = _STATIC_SERVER.format(upstream_port=self.static_port, answer=ANSWER)
        config = _NGINX.format(
            folder=self._folder, upstream_port=self.static_port, proxy_port=self.proxy_port, upstream_server=server
        )  # fmt: skip
        path = self._folder / "nginx.conf"
        path.write_text(("user root;\n" if os.geteuid() == 0 else "") + config)
        child = Child([self._nginx, "-c", path, "-p", self._folder], env=os.environ, log=self._folder / "nginx-out.log")
        self._children.append(child)
        child.await_port(self.static_port)
        child.await_port(self.proxy_port)

    def _start_python(self, name: str, port: int) -> None:
        child = Child([sys.executable, "-m", "bench.upstream", str(port)], env=os.environ, log=self._folder / f"{name}.log")
        self._children.append(child)
        child.await_port(port)

    def stop(self) -> None:
        """Stop them."""
        for child in self._children:
            child.stop()


def has_wrk() -> bool:
    """Return whether wrk can make the load."""
    return shutil.which("wrk") is not None


def run_wrk(*, port: int, path: str, body: str, key: str, connections: int, duration_s: float) -> dict[str, Any]:
    """Load with wrk, one thread, and return its figures. Answers in flight at the end are left unread. Raises: BenchFailed."""
    command = [shutil.which("wrk") or "wrk", "-t1", f"-c{connections}", f"-d{max(1, round(duration_s))}s", "--latency", "-s", str(_LUA)]
    done = subprocess.run(  # noqa: S603 -- our own command
        [*command, f"http://127.0.0.1:{port}{path}"],
        env={**os.environ, "BENCH_BODY": body, "BENCH_KEY": key},
        capture_output=True,
        text=True,
        check=False,
    )
    found = re.search(r"^BENCH (\{.*\})$", done.stdout, re.MULTILINE)
    if found is None:
        raise BenchFailed(f"wrk said:\n{done.stdout[-1000:]}{done.stderr[-1000:]}")
    return {"connections": connections, **json.loads(found[1])}


def run_driver(job: dict[str, Any]) -> dict[str, Any]:
    """Run one load of our own driver in a process of its own and return its figures. Raises: BenchFailed."""
    env = {**os.environ, "BENCH_JOB": json.dumps(job)}
    done = subprocess.run([sys.executable, "-m", "bench.drive"], env=env, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchFailed(f"the load driver failed:\n{done.stderr[-3000:]}")
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer
