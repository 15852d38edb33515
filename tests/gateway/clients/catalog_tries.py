"""Run as a script: OpenRouter's client reads the whole catalog, and how much it read is printed as JSON. Its models check every field."""

import importlib.metadata
import json
import os
import sys
from typing import Any

from openrouter import OpenRouter

BASE, KEY = os.environ["BASE_URL"], os.environ["API_KEY"]
EVERY = int(os.environ["EVERY"])  # of how many models one is asked for its endpoints


def pages(first: Any) -> list[Any]:
    """Return what is on a list's pages; the first client knew no pages of some lists."""
    found: list[Any] = []
    page = first
    while page is not None:
        found += (page.result if hasattr(page, "result") else page).data
        page = page.next() if hasattr(page, "next") else None
    return found


def read_all(client: OpenRouter) -> dict[str, Any]:
    """Return how many of each thing the client could read."""
    models = pages(client.models.list(output_modalities="all"))
    endpoints = 0
    for model in models[::EVERY]:
        author, slug = model.id.split("/", 1)
        endpoints += len(client.endpoints.list(author=author, slug=slug).data.endpoints)
    images = client.images.list_models().data
    author, slug = images[0].id.split("/", 1)
    return {
        "version": importlib.metadata.version("openrouter"),
        "models": len(models),
        "count": client.models.count(output_modalities="all").data.count,
        "mine": len(pages(client.models.list_for_user(security={"bearer": KEY}))),
        "one": client.models.get(author="openai", slug="gpt-4o-mini").data.id,
        "endpoints": endpoints,
        "zero_retention": len(client.endpoints.list_zdr_endpoints().data),
        "providers": len(client.providers.list().data),
        "embeddings": len(pages(client.embeddings.list_models())),
        "images": len(images),
        "image_endpoints": len(client.images.list_model_endpoints(author=author, slug=slug).endpoints) > 0,
    }


if __name__ == "__main__":
    with OpenRouter(api_key=KEY, server_url=f"{BASE}/api/v1") as opened:
        sys.stdout.write(json.dumps(read_all(opened)))
