"""Where the time goes in the worker at full load: py-spy where it is installed, else cProfile inside the worker."""

import os
import shutil
import subprocess
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from rich.console import Console

from bench import machine
from bench.servers import run_driver
from bench.stack import CHAT_PATH, Stack

_TOP = 45


def profile(*, seconds: float, streams: bool, pinned: bool, console: Console) -> None:
    """Run the gateway at full load and print the functions with the most time of their own. Raises: BenchFailed."""
    cores = machine.Cores(pinned=pinned)
    cores.keep_rest()
    spy = shutil.which("py-spy")
    with Stack(cores=cores, application="gateway.asgi:application" if spy else "bench.profiled:application") as stack:
        with console.status("starting"):
            stack.start_engines()
            stack.prepare()
            stack.start_jobs()
            stack.start_web()
            stack.warm_up(2)
        job = _job(stack, seconds=seconds, streams=streams)
        before_s = machine.cpu_s(stack.worker_pid)
        with console.status(f"profiling with {'py-spy' if spy else 'cProfile'}"):
            text, told = _sample(spy, stack, job, seconds) if spy else _count(stack, job)
        used_s = machine.cpu_s(stack.worker_pid) - before_s
        console.print(text, highlight=False, markup=False, soft_wrap=True)
        console.print(told, f"worker CPU {used_s:.2f} s", highlight=False)


def _job(stack: Stack, *, seconds: float, streams: bool) -> dict[str, Any]:
    job = {"port": stack.port, "path": CHAT_PATH, "key": stack.key, "duration_s": seconds}
    if not streams:
        return {"kind": "closed", **job, "body": stack.body(), "connections": 64}
    body = stack.stream_body(chunks=round((seconds + 2) * 100), pace_us=10_000)
    return {"kind": "streams", **job, "body": body, "streams": 200, "offered_per_s": 20_000, "ramp_s": 1.0}


def _count(stack: Stack, job: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    _post(f"http://127.0.0.1:{stack.port}/profile/start")
    told = run_driver(job)
    return _post(f"http://127.0.0.1:{stack.port}/profile/stop"), told


def _post(url: str) -> str:
    with urlopen(Request(url, data=b""), timeout=60) as answer:  # noqa: S310 -- our own address
        text: str = answer.read().decode()
        return text


def _sample(spy: str, stack: Stack, job: dict[str, Any], seconds: float) -> tuple[str, dict[str, Any]]:
    with tempfile.TemporaryDirectory() as folder:
        raw = Path(folder) / "stacks.txt"
        options = ["-d", str(int(seconds)), "-r", "500", "-f", "raw", "-o", str(raw), "--nonblocking"]
        sampler = subprocess.Popen([spy, "record", "--pid", str(stack.worker_pid), *options], env=os.environ, stdout=subprocess.DEVNULL)  # noqa: S603
        told = run_driver(job)
        sampler.wait()
        return _summarise(raw.read_text()), told


def _summarise(stacks: str) -> str:
    """Return the functions by self time, and by time with what they call, out of py-spy's collapsed stacks."""
    own: Counter[str] = Counter()
    below: Counter[str] = Counter()
    total = 0
    for line in stacks.splitlines():
        frames, _, count = line.rpartition(" ")
        names = [frame.rpartition(":")[0] or frame for frame in frames.split(";")]
        total += int(count)
        own[names[-1]] += int(count)
        for name in set(names):
            below[name] += int(count)
    lines = [f"{total} samples", "", "self"]
    lines += [f"{count / total:6.1%}  {name}" for name, count in own.most_common(_TOP)]
    lines += ["", "with callees"]
    lines += [f"{count / total:6.1%}  {name}" for name, count in below.most_common(_TOP)]
    return "\n".join(lines)
