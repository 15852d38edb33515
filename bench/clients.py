"""Compares HTTP clients inside the same minimal application: the record behind docs/adr/0004-http-client.md."""

import os
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench import machine
from bench.client_app import CLIENTS, OWN
from bench.servers import Child, Upstreams, has_wrk, run_driver, run_wrk
from gateway.local.processes import choose_port

_BODY = '{"model": "m", "messages": [{"role": "user", "content": "Say something short about foxes and dogs."}], "max_tokens": 64}'
_STREAM = '{"model": "m", "messages": [{"role": "user", "content": "long"}], "stream": true, "max_tokens": %d, "seed": %d}'
_PATH = "/v1/chat/completions"
_OWN_MODULE = "gateway.relay.upstream"
_STREAMS = 200
_OFFERED_PER_S = 25_000
_HEADS = (
    "client",
    "requests/s, 1",
    "p50 ms, 1",
    "requests/s, 16",
    "requests/s, 64",
    "CPU µs/request",
    "first byte p50 ms, 200 at once",
    "chunks/s relayed",
    "CPU µs/chunk",
)


@dataclass(frozen=True, slots=True)
class _Bed:
    """What every client is measured on."""

    python: str
    upstreams: Upstreams
    cores: machine.Cores
    folder: Path
    duration_s: float


def compare(*, python: str, duration_s: float, pinned: bool, console: Console) -> None:
    """Measure every client that ``python`` can import, and print a table."""
    cores = machine.Cores(pinned=pinned)
    cores.keep_rest()
    table = Table(*_HEADS, title=machine.describe(), caption=cores.explain())
    with tempfile.TemporaryDirectory(prefix="tollway-clients-") as scratch:
        folder = Path(scratch)
        folder.chmod(0o755)
        upstreams = Upstreams(folder)
        try:
            upstreams.start()
            for name in CLIENTS:
                if not _can_import(python, name):
                    console.print(f"{name} is not installed in {python}: left out")
                    continue
                with console.status(name):
                    bed = _Bed(python, upstreams, cores, folder, duration_s)
                    table.add_row(f"{name} {_version(python, name)}", *_measure(name, bed), *_measure_streams(name, bed))
        finally:
            upstreams.stop()
    console.print(table)


def _can_import(python: str, name: str) -> bool:
    module = _OWN_MODULE if name == OWN else name
    return subprocess.run([python, "-c", f"import {module}"], capture_output=True, check=False).returncode == 0  # noqa: S603 -- fixed names


def _version(python: str, name: str) -> str:
    if name == OWN:
        return "(this)"
    code = f"from importlib.metadata import version; print(version('{name}'))"
    return subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip()  # noqa: S603


def _measure(name: str, bed: _Bed) -> list[str]:
    cells: list[str] = []
    cpu_us = ""
    app, port = _start(name, bed, bed.upstreams.static_port)
    try:
        for connections in (16, 1, 16, 64):  # the first round warms up
            before_s = machine.cpu_s(app.pid)
            told = _load(port, connections, bed.duration_s)
            if connections == 1:
                cells = [f"{told['requests'] / told['duration_s']:,.0f}", f"{told['p50_ms']:.2f}"]
            elif cells:
                cells.append(f"{told['requests'] / told['duration_s']:,.0f}")
                cpu_us = f"{(machine.cpu_s(app.pid) - before_s) * 1e6 / told['requests']:.0f}"
    finally:
        app.stop()
    return [*cells, cpu_us]


def _measure_streams(name: str, bed: _Bed) -> list[str]:
    app, port = _start(name, bed, bed.upstreams.stream_port)
    try:
        _load(port, 16, 1)
        first = run_driver(_stream_job(port, chunks=20, pace_us=50_000, ramp_s=0.0, duration_s=0.2))
        chunks = round((bed.duration_s + 2) * _OFFERED_PER_S / _STREAMS)
        before_s = machine.cpu_s(app.pid)
        pace_us = round(_STREAMS * 1e6 / _OFFERED_PER_S)
        full = run_driver(_stream_job(port, chunks=chunks, pace_us=pace_us, ramp_s=1.0, duration_s=bed.duration_s))
        used_us = (machine.cpu_s(app.pid) - before_s) * 1e6
    finally:
        app.stop()
    return [f"{first['first_p50_ms']:.0f}", f"{full['chunks_per_s']:,.0f}", f"{used_us / (chunks * _STREAMS):.0f}"]


def _start(name: str, bed: _Bed, upstream_port: int) -> tuple[Child, int]:
    port = choose_port()
    command = [bed.python, "-m", "bench.client_app", name, str(port), str(upstream_port)]
    app = Child(command, env=os.environ, log=bed.folder / f"{name}.log")
    bed.cores.give_measured(app.pid)
    app.await_port(port)
    return app, port


def _load(port: int, connections: int, duration_s: float) -> dict[str, Any]:
    if has_wrk():
        return run_wrk(port=port, path=_PATH, body=_BODY, key="none", connections=connections, duration_s=duration_s)
    job = {"kind": "closed", "port": port, "path": _PATH, "key": "none", "body": _BODY}
    return run_driver({**job, "connections": connections, "duration_s": duration_s})


def _stream_job(port: int, *, chunks: int, pace_us: int, ramp_s: float, duration_s: float) -> dict[str, Any]:
    job = {"kind": "streams", "port": port, "path": _PATH, "key": "none", "body": _STREAM % (chunks, pace_us), "streams": _STREAMS}
    return {**job, "offered_per_s": _STREAMS * 1e6 / pace_us, "ramp_s": ramp_s, "duration_s": duration_s}
