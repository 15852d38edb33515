"""Azure's addresses: the v1 API, deployments with an API version, Claude beside them; everybody else appends the path."""

import pytest
from msgspec.structs import replace

from gateway.providers.addresses import address_of
from tests.gateway.dialects.builders import provider

AZURE = provider("azure", auth="api-key")
HOST = "https://house.openai.azure.com"


@pytest.mark.parametrize(
    ("base", "path", "options", "url"),
    [
        ("/openai/v1", "/chat/completions", {}, f"{HOST}/openai/v1/chat/completions"),
        ("/openai/v1", "/responses", {"api_version": "preview"}, f"{HOST}/openai/v1/responses?api-version=preview"),
        ("/openai", "/chat/completions", {}, f"{HOST}/openai/deployments/my%20gpt/chat/completions?api-version=2024-10-21"),
        (
            "/openai",
            "/embeddings",
            {"api_version": "2025-04-01-preview"},
            f"{HOST}/openai/deployments/my%20gpt/embeddings?api-version=2025-04-01-preview",
        ),
        ("/openai", "/responses", {}, f"{HOST}/openai/responses?api-version=2024-10-21"),
        ("/openai", "/messages", {"api_version": "x"}, "https://house.services.ai.azure.com/anthropic/v1/messages"),
        ("/openai/v1", "/messages", {}, "https://house.services.ai.azure.com/anthropic/v1/messages"),
        ("", "/chat/completions", {}, f"{HOST}/chat/completions"),
    ],
)
def test_azure_is_addressed_as_its_base_url_says(base, path, options, url):
    assert address_of(replace(AZURE, options=options), HOST + base, path=path, query={}, model="my gpt") == url
    mine = replace(provider("mine"), like="azure", options=options)
    assert address_of(mine, HOST + base, path=path, query={}, model="my gpt") == url


def test_others_append_path_and_query():
    assert address_of(provider("openai"), "https://a.example/openai", path="/p", query={}, model="m") == "https://a.example/openai/p"
    assert address_of(provider("gem"), "https://a.example", path="/p", query={"alt": "sse"}, model="m") == "https://a.example/p?alt=sse"
