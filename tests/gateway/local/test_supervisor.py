import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.local.processes import is_running
from gateway.local.supervisor import Program, Supervisor

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[Supervisor]:
    with Supervisor(log_folder=tmp_path / "logs") as running:
        yield running


def python(name: str, code: str, folder: Path, **fields: float) -> Program:
    return Program(name=name, command=[sys.executable, "-uc", code], environment=dict(os.environ), folder=folder, **fields)


def log_of(tmp_path: Path, name: str) -> str:
    path = tmp_path / "logs" / f"{name}.log"
    return path.read_text() if path.exists() else ""


def test_output_goes_to_the_log_and_to_the_listener_line_by_line(supervisor: Supervisor, tmp_path: Path) -> None:
    heard: list[tuple[str, bytes]] = []
    supervisor.echo = lambda name, line: heard.append((name, line))
    supervisor.start(python("talker", "import os, time; os.write(1, b'one\\ntwo'); time.sleep(60)", tmp_path))
    assert supervisor.serve(until=lambda: bool(heard), timeout_s=20)
    supervisor.stop()
    assert heard == [("talker", b"one"), ("talker", b"two")]
    assert log_of(tmp_path, "talker") == "one\ntwo\n"


def test_a_child_that_dies_is_started_again_with_growing_pauses(supervisor: Supervisor, tmp_path: Path) -> None:
    supervisor.start(python("faller", "print('up'); raise SystemExit(3)", tmp_path))
    assert supervisor.serve(until=lambda: log_of(tmp_path, "faller").count("up\n") >= 3, timeout_s=30)
    said = log_of(tmp_path, "faller")
    assert said.index("ended with 3; starts again in 0.5 s") < said.index("ended with 3; starts again in 1 s")


def test_what_a_dead_child_left_behind_ends_before_the_next_start(supervisor: Supervisor, tmp_path: Path) -> None:
    code = "import subprocess, os; print(subprocess.Popen(['sleep', '300']).pid, flush=True); os.kill(os.getpid(), 9)"
    supervisor.start(python("parent", code, tmp_path))
    assert supervisor.serve(until=lambda: log_of(tmp_path, "parent").count("ended") >= 1, timeout_s=20)
    orphan = int(log_of(tmp_path, "parent").split()[0])
    supervisor.stop()
    deadline = time.monotonic() + 10
    while is_running(orphan) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not is_running(orphan)


def test_a_child_that_will_not_end_is_killed_after_its_time(supervisor: Supervisor, tmp_path: Path) -> None:
    code = "import os, signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(os.getpid()); time.sleep(300)"
    supervisor.start(python("mule", code, tmp_path, stop_within_s=0.5))
    assert supervisor.serve(until=lambda: log_of(tmp_path, "mule") != "", timeout_s=20)
    begun_s = time.monotonic()
    supervisor.stop()
    assert 0.5 <= time.monotonic() - begun_s < 10
    assert not is_running(int(log_of(tmp_path, "mule")))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_service(supervisor: Supervisor, tmp_path: Path, number: signal.Signals) -> None:
    supervisor.start(python("child", "import time; print('up'); time.sleep(300)", tmp_path))
    assert supervisor.serve(until=lambda: log_of(tmp_path, "child") != "", timeout_s=20)
    os.kill(os.getpid(), number)
    assert not supervisor.serve(until=lambda: False, timeout_s=20)
    assert supervisor.is_stopping


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's help is Linux only")
def test_children_end_with_a_supervisor_that_is_killed(tmp_path: Path) -> None:
    program = (
        "import os, sys; from pathlib import Path; from gateway.local.supervisor import Program, Supervisor\n"
        "with Supervisor(log_folder=Path(sys.argv[1])) as supervisor:\n"
        "    supervisor.echo = lambda _, line: print(line.decode(), flush=True)\n"
        "    code = 'import os, time; print(os.getpid(), flush=True); time.sleep(300)'\n"
        "    command = [sys.executable, '-c', code]\n"
        "    supervisor.start(Program(name='child', command=command, environment=dict(os.environ), folder=Path('/')))\n"
        "    supervisor.serve(until=lambda: False)"
    )
    with subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True) as parent:
        child = int(parent.stdout.readline())
        parent.kill()
    deadline = time.monotonic() + 10
    while is_running(child) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not is_running(child)
