"""Compile the modules of the hot path with mypyc and the machine's C compiler into ``build/compiled``."""

import os
import shutil
import sysconfig
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import Any

import msgspec

from gateway.compiled.finder import Manifest, find_obstacle
from gateway.compiled.modules import FOLDER, GROUP, MODULES, ROOT, fingerprint, source_of

# The types of what is not compiled are read where they can be had. What cannot is taken for Any and looked up as Python does.
_MYPY_OPTIONS = (
    "--config-file=",
    "--strict",
    "--follow-imports=silent",
    "--ignore-missing-imports",
    "--no-warn-unused-ignores",
    "--no-warn-return-any",
    "--allow-any-unimported",
)
Tell = Callable[[str, int, int], None]  # what is done, how many of how many


class BuildFailed(Exception):
    """The message says at what."""


def find_compiler() -> str | None:
    """Return the path of the C compiler that Python's extensions are built with here. None without it or without Python's headers."""
    command = sysconfig.get_config_var("CC") or "cc"
    headers = Path(sysconfig.get_path("include")) / "Python.h"
    return shutil.which(command.split()[0]) if headers.exists() else None


def build(tell: Tell) -> None:
    """Make the compilation anew. The old one stays in place until the new one is whole. Raises: BuildFailed."""
    with tempfile.TemporaryDirectory(prefix="tollway-compiled-") as folder:
        made = _compile(Path(folder), fingerprint(), tell)
        FOLDER.parent.mkdir(parents=True, exist_ok=True)
        aside = FOLDER.with_name("compiled.new")
        shutil.rmtree(aside, ignore_errors=True)
        shutil.copytree(made, aside)
        shutil.rmtree(FOLDER, ignore_errors=True)
        aside.rename(FOLDER)
    if obstacle := find_obstacle():
        msg = f"the result cannot be used: {obstacle}"
        raise BuildFailed(msg)


def _compile(folder: Path, made_from: str, tell: Tell) -> Path:
    extensions = _write_c(folder / "c", tell)
    out = folder / "out"
    files: dict[str, str] = {}
    total = sum(len(extension.sources) for extension in extensions)
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        done = iter(range(1, total + 1))

        def to_object(extension: Any, source: str) -> list[str]:
            made = _compiler().compile(
                [source], str(folder / "objects"), include_dirs=extension.include_dirs, extra_postargs=extension.extra_compile_args
            )
            tell("compile", next(done), total)
            return list(made)

        pending = [(one, [pool.submit(to_object, one, source) for source in one.sources]) for one in extensions]
        for extension, objects in pending:
            name = extension.name.replace(".", "/") + EXTENSION_SUFFIXES[0]
            _compiler().link_shared_object([path for made in objects for path in made.result()], str(out / name), target_lang="c")
            files[extension.name] = name
    (out / "manifest.json").write_bytes(msgspec.json.encode(Manifest(made_from, EXTENSION_SUFFIXES[0], files)))
    return out


def _write_c(folder: Path, tell: Tell) -> list[Any]:
    from mypyc.build import mypycify  # noqa: PLC0415 -- takes a second, and is no package of production

    tell("translate to C", 0, len(MODULES))
    here = Path.cwd()
    os.chdir(ROOT)  # mypyc finds modules from where it is
    try:
        paths = [*_MYPY_OPTIONS, f"--cache-dir={ROOT / '.mypy_cache' / 'compiled'}", *map(source_of, MODULES)]
        return list(mypycify(paths, opt_level="2", debug_level="0", multi_file=True, target_dir=str(folder), group_name=GROUP))
    except SystemExit as error:
        msg = "mypyc did not accept the source; what it says stands above"
        raise BuildFailed(msg) from error
    finally:
        os.chdir(here)


def _compiler() -> Any:
    from setuptools._distutils import ccompiler  # noqa: PLC0415
    from setuptools._distutils.sysconfig import customize_compiler  # noqa: PLC0415

    compiler = ccompiler.new_compiler()
    customize_compiler(compiler)  # heeds CC and CFLAGS, as for every extension of Python
    compiler.add_include_dir(sysconfig.get_path("include"))
    return compiler
