"""Where exactly a call goes: most providers append the path of the wire format to their base URL, some have it otherwise. Pure; no Django.

Azure (learn.microsoft.com/azure/ai-foundry/openai/api-version-lifecycle): a base URL that ends in ``/openai/v1`` is the v1 API,
where the deployment is the body's model; one that ends in ``/openai`` has a path for each deployment and wants an ``api-version``. Claude
is served in Anthropic's format beside both (platform.claude.com/docs/en/build-with-claude/claude-in-microsoft-foundry).
"""

import re
from functools import lru_cache
from urllib.parse import quote, urlencode

from catalog.types import ProviderSpec
from gateway.providers.table import quirks_for

_AZURE_VERSION = "2024-10-21"  # the last that is neither dated by the month nor a preview
_AZURE_ENDING = re.compile(r"/openai(/v1)?$")


def address_of(provider: ProviderSpec, base_url: str, *, path: str, query: dict[str, str], model: str) -> str:
    """Return the URL to POST to; ``path`` is the wire format's, ``model`` the provider's name for the model."""
    if quirks_for(provider).address == "azure":
        base_url, path, version = _azure(base_url, path, model, provider.options.get("api_version", ""))
        query = {**query, "api-version": version} if version else query
    return f"{base_url}{path}?{urlencode(query)}" if query else base_url + path


@lru_cache(maxsize=4096)
def _azure(base_url: str, path: str, deployment: str, version: str) -> tuple[str, str, str]:
    """Return base URL, path and API version ('' for none)."""
    ending = _AZURE_ENDING.search(base_url)
    if ending is None:
        return base_url, path, version
    if path == "/messages":
        root = base_url[: ending.start()].replace(".openai.azure.com", ".services.ai.azure.com")
        return f"{root}/anthropic/v1", path, ""
    if ending[1]:
        return base_url, path, version
    if path != "/responses":
        path = f"/deployments/{quote(deployment, safe='')}{path}"
    return base_url, path, version or _AZURE_VERSION
