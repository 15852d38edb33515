"""Have Python import the compiled modules in the place of their source, all of them or none."""

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import EXTENSION_SUFFIXES, ExtensionFileLoader, ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Final, Literal

import msgspec

from gateway.compiled.modules import FOLDER, MANIFEST, MODULES, fingerprint

Mode = Literal["auto", "off", "required"]
MODES: Final[tuple[Mode, ...]] = ("auto", "off", "required")


class NotCompiled(Exception):
    """The compiled modules were required and cannot be used; the message says why and what to do."""


class Manifest(msgspec.Struct):
    """What ``make compiled`` left: the ``files`` by module, made from the source with this ``fingerprint`` for this kind of ``python``."""

    fingerprint: str
    python: str
    files: dict[str, str]


def read_mode(value: str) -> Mode:
    """Return the mode of that name. Raises: ValueError."""
    for mode in MODES:
        if mode == value:
            return mode
    msg = f"COMPILED must be one of {', '.join(MODES)}, not {value!r}."
    raise ValueError(msg)


class Finder(MetaPathFinder):
    """Finds the modules of a compilation. ``files`` are libraries by the name of their module."""

    def __init__(self, files: dict[str, Path]) -> None:
        self._files = files

    def find_spec(self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:  # noqa: ARG002 -- Python's signature
        """Return how to load the module, or None when it is not one of ours."""
        file = self._files.get(fullname)
        return None if file is None else spec_from_file_location(fullname, file, loader=ExtensionFileLoader(fullname, str(file)))


def use_compiled(mode: Mode = "auto") -> str:
    """Import compiled modules from now on, where there are any that fit. Return why not, or nothing.

    To be called before any of the modules is imported: one of Python among compiled ones would be a second one of its kind.
    Raises: NotCompiled, if ``mode`` is "required" and something stands in the way.
    """
    if any(isinstance(finder, Finder) for finder in sys.meta_path):
        return ""
    reason = "it is switched off" if mode == "off" else find_obstacle()
    if not reason and (early := [name for name in MODULES if name in sys.modules]):
        reason = f"{early[0]} was already imported"
    if not reason:
        files = msgspec.json.decode(MANIFEST.read_bytes(), type=Manifest).files
        sys.meta_path.insert(0, Finder({name: FOLDER / file for name, file in files.items()}))
    elif mode == "required":
        msg = f"The compiled modules cannot be used: {reason}. `make compiled` makes them; COMPILED=auto does without."
        raise NotCompiled(msg)
    return reason


def find_obstacle() -> str:
    """Return why the compilation cannot be used, or nothing."""
    try:
        manifest = msgspec.json.decode(MANIFEST.read_bytes(), type=Manifest)
    except FileNotFoundError:
        return "nothing is compiled"
    except (OSError, msgspec.MsgspecError) as error:
        return f"{MANIFEST} cannot be read ({error})"
    if manifest.python != EXTENSION_SUFFIXES[0]:
        return f"they were made for another Python ({manifest.python})"
    if manifest.fingerprint != fingerprint():
        return "the source has changed since they were made"
    return ""
