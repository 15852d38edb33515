"""The Node clients need Node, which the project does not. `make test` installs them where npm is; else this folder is left out."""

import shutil
import sys
import warnings
from pathlib import Path

from tests.gateway.relay.conftest import customer, stack  # noqa: F401 -- fixtures
from tests.gateway.relay.shipped import real_catalog, shop  # noqa: F401 -- fixtures

INSTALLED = Path(sys.prefix) / "node-clients"

collect_ignore = []
if shutil.which("node") is None or not (INSTALLED / ".installed").is_file():
    collect_ignore += ["test_node_clients.py", "test_node_catalog.py"]
    warnings.warn(
        "NOT TRIED: the official Node clients (openai, @anthropic-ai/sdk, @openrouter/sdk, ai): `make test` installs them where npm is",
        stacklevel=1,
    )
