"""Typed readers of environment variables. Only ``gateway/settings.py`` and the launcher call them.

Every variable ``NAME`` may be given as ``NAME_FILE``: the path of a file that holds the value, as container secrets are mounted.
"""

import os
from pathlib import Path

_TRUE = {"1", "true", "yes", "on"}
_FALSE = {"0", "false", "no", "off", ""}


class BadEnvironment(Exception):
    """A variable is missing or has a value that cannot be used; the message says which and what to do."""


def env_str(name: str, default: str | None = None) -> str:
    """Return the value of ``name`` (or the content of the file named by ``name_FILE``), stripped.

    Raises: BadEnvironment when neither is set and there is no default.
    """
    path = os.environ.get(f"{name}_FILE")
    if path:
        try:
            return Path(path).read_text(encoding="utf-8").strip()
        except OSError as error:
            msg = f"{name}_FILE points to {path}, which cannot be read ({error.strerror}). Fix the path or set {name} itself."
            raise BadEnvironment(msg) from error
    value = os.environ.get(name)
    if value is not None:
        return value.strip()
    if default is None:
        msg = f"{name} is not set. Set {name} or {name}_FILE; docker/.env.example explains every variable."
        raise BadEnvironment(msg)
    return default


def env_int(name: str, default: int) -> int:
    """Return ``name`` as an integer. Raises: BadEnvironment."""
    value = env_str(name, str(default))
    try:
        return int(value)
    except ValueError as error:
        msg = f"{name} must be a whole number, not {value!r}."
        raise BadEnvironment(msg) from error


def env_bool(name: str, *, default: bool) -> bool:
    """Return ``name`` as a boolean: 1/true/yes/on or 0/false/no/off. Raises: BadEnvironment."""
    value = env_str(name, "1" if default else "0").lower()
    if value in _TRUE:
        return True
    if value in _FALSE:
        return False
    msg = f"{name} must be 1 or 0, not {value!r}."
    raise BadEnvironment(msg)


def env_list(name: str, default: str = "") -> list[str]:
    """Return ``name`` split at commas, blanks dropped."""
    return [part.strip() for part in env_str(name, default).split(",") if part.strip()]
