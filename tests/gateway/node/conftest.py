"""The Node clients need Node and npm, which the project itself does not: without them this folder is left out, and says so."""

import shutil
import warnings

from tests.gateway.relay.conftest import customer, stack  # noqa: F401 -- fixtures

collect_ignore = []
if shutil.which("node") is None or shutil.which("npm") is None:
    collect_ignore.append("test_node_clients.py")
    warnings.warn(
        "NOT TRIED: the official Node clients (openai, @anthropic-ai/sdk, @openrouter/sdk, ai): no node or npm here", stacklevel=1
    )
