"""Fill the virtual environment from a hash-locked list, with nothing but Python's standard library: ``install.py VENV LOCK [--fastest]``.

With ``--fastest`` the environment is made by the fastest build of this Python's minor version that the machine has: one built without
profile-guided optimisation, as pyenv builds by default, takes up to half as much time again for the same request.
pip installs uv (from the lock, with its hash), uv installs the rest from the index that pip is set up for; where uv cannot, pip does.
Runs before anything is installed and on any Python 3, hence the plain style.
"""

import ast
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

_OLDEST = (3, 11)
# Attribute access, calls, dictionaries and strings: what a request is made of. Prints the seconds of its best round.
_PACE = """
import time
class Thing:
    __slots__ = ("a", "b")
    def __init__(self, a, b):
        self.a, self.b = a, b
def work():
    for i in range(4000):
        thing = Thing(i, 2)
        ",".join([str(value) for value in {"a": thing.a, "b": thing.b, "c": "x"}.values()])
def timed():
    begun_s = time.perf_counter()
    work()
    return time.perf_counter() - begun_s
import ensurepip, venv
print(min(timed() for _ in range(25)))
"""
# A build must be this much faster to be preferred to the one that was asked.
_WORTH_IT = 0.9
# pip's settings and the variables by which uv knows the same.
_UV_NAMES = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "trusted-host": "UV_INSECURE_HOST",
    "cert": "SSL_CERT_FILE",
    "no-index": "UV_NO_INDEX",
}


def install(venv: Path, lock: Path, *, take_fastest: bool = False) -> None:
    """Make ``venv`` hold exactly what ``lock`` names. Exits with a message when it cannot."""
    if sys.version_info < _OLDEST:
        sys.exit(f"Tollway needs Python 3.11 or newer; this is {sys.version.split()[0]}. Try: make PYTHON=python3.12 …")
    begun_s = time.monotonic()
    _say(f"Installing {count_packages(lock)} packages into {venv} (once) …")
    python = _make_venv(venv, find_fastest() if take_fastest else sys.executable)
    if not (_install_uv(python, lock) and _run_uv(python, lock)):
        _say("uv cannot install here; pip does it, which takes a minute or two …")
        command = [str(python), "-m", "pip", "install", "--quiet", "--no-deps", "--require-hashes", "-r", str(lock)]
        if subprocess.run(command, check=False).returncode:  # noqa: S603 -- our own command
            sys.exit("The packages could not be installed. pip's message above says why.")
    (venv / ".installed").touch()
    _say(f"Installed in {time.monotonic() - begun_s:.0f} s.")


def find_fastest() -> str:
    """Return the fastest interpreter here of this one's minor version that can make environments; this one when none is much faster."""
    name = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    folders = dict.fromkeys([*os.environ.get("PATH", "").split(os.pathsep), "/usr/bin", "/usr/local/bin", "/opt/homebrew/bin"])
    found: dict[str, str] = {}
    for path in (os.path.join(folder, name) for folder in folders):  # noqa: PTH118 -- plain strings, as PATH holds them
        if os.access(path, os.X_OK):
            found.setdefault(os.path.realpath(path), path)
    ours = found[os.path.realpath(sys.executable)] = sys.executable
    paces_s = dict.fromkeys(found.values(), float("inf"))
    for _ in range(5):  # in turns, so that a busy moment does not fall on one of them alone
        paces_s = {path: min(pace_s, pace_of(path)) for path, pace_s in paces_s.items()}
    best = min(paces_s, key=paces_s.__getitem__)
    if not paces_s[best] < paces_s[ours] * _WORTH_IT:
        return ours
    _say(f"{best} is {paces_s[ours] / paces_s[best]:.1f} times as fast as {ours} and is used. PYTHON=… takes another.")
    return best


def pace_of(python: str) -> float:
    """Return the seconds that an interpreter takes for a small fixed piece of work; infinity when it cannot make environments."""
    ran = subprocess.run([python, "-I", "-c", _PACE], capture_output=True, text=True, check=False)  # noqa: S603 -- our own command
    return float(ran.stdout) if not ran.returncode else float("inf")


def count_packages(lock: Path) -> int:
    """Return how many packages a lock names."""
    return sum("==" in line and not line.startswith((" ", "#")) for line in lock.read_text(encoding="utf-8").splitlines())


def block_of(lock_text: str, package: str) -> str:
    """Return the lines of a lock that name one package and its hashes, or ''."""
    kept, inside = [], False
    for line in lock_text.splitlines():
        if not line.startswith((" ", "#")):
            inside = line.startswith(f"{package}==")
        if inside and not line.lstrip().startswith("#"):
            kept.append(line)
    return "\n".join(kept) + "\n" if kept else ""


def uv_environment(pip_settings: str) -> dict[str, str]:
    """Return uv's variables for what ``pip config list`` printed: uv does not read pip's files."""
    found = {}
    for line in pip_settings.splitlines():
        name, _, value = line.partition("=")
        variable = _UV_NAMES.get(name.rpartition(".")[2])
        if variable:
            words = str(ast.literal_eval(value)).split()
            found[variable] = ("," if variable == "UV_FIND_LINKS" else " ").join(words)
    return found


def _make_venv(venv: Path, maker: str) -> Path:
    python = venv / "bin" / "python"
    is_sound = python.exists() and not subprocess.run([str(python), "-m", "pip", "--version"], capture_output=True, check=False).returncode  # noqa: S603 -- our own command
    if not is_sound:
        made = subprocess.run([maker, "-m", "venv", "--clear", str(venv)], capture_output=True, text=True, check=False)  # noqa: S603 -- our own command
        if made.returncode:
            sys.exit(f"Python's venv module does not work here. On Debian and Ubuntu: apt install python3-venv\n{made.stdout}{made.stderr}")
    return python


def _install_uv(python: Path, lock: Path) -> bool:
    block = block_of(lock.read_text(encoding="utf-8"), "uv")
    if not block:
        return False
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as requirement:
        requirement.write(block)
        requirement.flush()
        command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--require-hashes"]
        return not subprocess.run([*command, "-r", requirement.name], capture_output=True, check=False).returncode  # noqa: S603 -- our own command


def _run_uv(python: Path, lock: Path) -> bool:
    settings = subprocess.run([str(python), "-m", "pip", "config", "list"], capture_output=True, text=True, check=False).stdout  # noqa: S603 -- our own command
    # Several indexes: hashes decide what is right, so that it does not matter which one has it.
    environment = {**uv_environment(settings), "UV_INDEX_STRATEGY": "unsafe-best-match", "UV_HTTP_TIMEOUT": "120", **os.environ}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # meant for source trees; here it would only make every start slow
    command = [
        str(python),
        "-m",
        "uv",
        "pip",
        "install",
        "--quiet",
        "--compile-bytecode",  # now, on all processors, instead of at the first start of each of our processes
        "--python",
        str(python),
        "--no-deps",
        "--require-hashes",
        "-r",
        str(lock),
    ]
    return not subprocess.run(command, env=environment, check=False).returncode  # noqa: S603 -- our own command


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


if __name__ == "__main__":
    install(Path(sys.argv[1]), Path(sys.argv[2]), take_fastest="--fastest" in sys.argv[3:])
