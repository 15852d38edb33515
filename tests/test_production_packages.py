"""The packages of requirements.lock are enough for every role: an image has no others."""

import os
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# Imports what the roles import, with the packages named on the command line hidden. gateway.local is for `make run` alone.
_IMPORT_ALL = """
import importlib, importlib.abc, pkgutil, sys

hidden = set(sys.argv[1].split(","))

class Hide(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in hidden:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Hide())
import gunicorn.app.wsgiapp, uvicorn_worker, celery.bin.worker, celery.beat
from gateway.celery import app
import gateway.asgi

app.loader.import_default_modules()
for url in (app.conf.broker_url, "rediss://127.0.0.1:1/0"):
    app.connection(url).transport
apps = [importlib.import_module(name) for name in ("accounts", "billing", "catalog", "gateway")]
names = [one.name for root in apps for one in pkgutil.walk_packages(root.__path__, root.__name__ + ".", onerror=lambda name: None)]
for name in names:
    if not name.startswith("gateway.local") and not name.endswith("__main__"):
        importlib.import_module(name)
print(len(names))
"""


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_every_role_starts_with_the_packages_of_production() -> None:
    locked = {_plain(name) for name in re.findall(r"^([\w.-]+)==", (ROOT / "requirements.lock").read_text(), re.MULTILINE)}
    hidden = [module for module, owners in metadata.packages_distributions().items() if not locked.intersection(map(_plain, owners))]
    assert "pytest" in hidden
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "DJANGO_SETTINGS_MODULE": "gateway.settings",
        "SECRET_KEY": "only-to-import-modules-0123456789abcdef",
        "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",
        "REDIS_URL": "redis://127.0.0.1:1/0",
    }
    ran = subprocess.run(
        [sys.executable, "-c", _IMPORT_ALL, ",".join(hidden)],
        env=environment, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr[-2000:]
    assert int(ran.stdout.split()[-1]) > 200
