"""Who may use this copy: ``demo.env`` and the secret key, made once and kept in the data folder, readable by the owner only."""

import os
import secrets
from collections.abc import Callable
from pathlib import Path

from accounts.key_format import mint_secret
from gateway.env import env_str


def _mint_password() -> str:
    return secrets.token_urlsafe(15)


# In the order in which people want to see them; the base URL comes first.
_MAKERS: dict[str, Callable[[], str]] = {
    "TOLLWAY_API_KEY": mint_secret,
    "TOLLWAY_MANAGEMENT_KEY": mint_secret,
    "TOLLWAY_EMAIL": lambda: "demo@example.com",
    "TOLLWAY_PASSWORD": _mint_password,
    "TOLLWAY_ADMIN_EMAIL": lambda: "operator@example.com",
    "TOLLWAY_ADMIN_PASSWORD": _mint_password,
}


def keep_demo_access(path: Path, *, public_url: str) -> dict[str, str]:
    """Return the demo's variables and write them to ``path`` (mode 0600): from the environment, else from ``path``, else newly made."""
    kept = _read(path)
    values = {"TOLLWAY_BASE_URL": f"{public_url}/api/v1"}
    for name, make in _MAKERS.items():
        values[name] = env_str(name, "") or kept.get(name, "") or make()
    lines = [f"{name}={value}\n" for name, value in values.items()]
    write_private(
        path,
        "# Written by `make run`: how to reach and use this copy. Anyone who can read it can spend the demo's credit.\n" + "".join(lines),
    )
    return values


def keep_secret_key(path: Path) -> str:
    """Return the key that signs sessions and seals credentials, made at the first call and kept in ``path`` (mode 0600)."""
    return keep_secret(path, make=lambda: secrets.token_urlsafe(48))


def keep_secret(path: Path, *, make: Callable[[], str]) -> str:
    """Return the secret in ``path`` (mode 0600), made at the first call."""
    if not path.exists():
        write_private(path, make())
    return path.read_text(encoding="utf-8")


def write_private(path: Path, text: str) -> None:
    """Write ``text`` so that no other user can read it at any moment and a crash leaves the old or the new file, never a half."""
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    scratch.unlink(missing_ok=True)
    descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    scratch.replace(path)


def _read(path: Path) -> dict[str, str]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return {}
    pairs = (line.partition("=") for line in lines if "=" in line and not line.startswith("#"))
    return {name.strip(): value.strip() for name, _, value in pairs}
