"""Requests that work, ready to paste: curl, Python, JavaScript."""

from typing import Final, NamedTuple

from django.conf import settings

from catalog import showcase

# Answered by a real model on this machine where the launcher started one.
LOCAL_MODEL: Final = "huggingfacetb/smollm2-135m-instruct"
SECRET_VARIABLE: Final = "$TOLLWAY_API_KEY"  # noqa: S105 -- where the reader keeps the secret
_FALLBACK_MODEL: Final = "openai/gpt-4o-mini"


class Snippet(NamedTuple):
    """One way to say the same request. ``id`` is its element's id on the page."""

    id: str
    language: str
    text: str


def example_model() -> str:
    """Return a model for the first request: the local one where it runs, else the cheapest chat model that is served."""
    if settings.LOCAL_MODEL_URL:
        return LOCAL_MODEL
    return showcase.cheapest_chat_model(showcase.published()) or _FALLBACK_MODEL


def curl_line(*, secret: str = SECRET_VARIABLE, model: str | None = None) -> str:
    """Return the first request as one command of a shell."""
    return _CURL % (f"{settings.PUBLIC_URL}/api/v1", secret, model or example_model())


def snippets(secret: str, *, is_management: bool = False) -> list[Snippet]:
    """Return the request that a new key is tried with, in three languages."""
    base_url = f"{settings.PUBLIC_URL}/api/v1"
    if is_management:
        return [
            Snippet("snippet-curl", "curl", f'curl {base_url}/keys -H "Authorization: Bearer {secret}"'),
            Snippet("snippet-python", "Python", _PYTHON_KEYS.format(base_url=base_url, secret=secret)),
            Snippet("snippet-javascript", "JavaScript", _JAVASCRIPT_KEYS % (base_url, secret)),
        ]
    model = example_model()
    return [
        Snippet("snippet-curl", "curl", curl_line(secret=secret, model=model)),
        Snippet("snippet-python", "Python", _PYTHON.format(base_url=base_url, secret=secret, model=model)),
        Snippet("snippet-javascript", "JavaScript", _JAVASCRIPT % (base_url, secret, model)),
    ]


_CURL: Final = """curl %s/chat/completions \\
  -H "Authorization: Bearer %s" \\
  -H "Content-Type: application/json" \\
  -d '{
    "model": "%s",
    "messages": [{"role": "user", "content": "Say hello"}]
  }'"""

_PYTHON: Final = """from openai import OpenAI

client = OpenAI(
    base_url="{base_url}",
    api_key="{secret}",
)
answer = client.chat.completions.create(
    model="{model}",
    messages=[{{"role": "user", "content": "Say hello"}}],
)
print(answer.choices[0].message.content)"""

_JAVASCRIPT: Final = """import OpenAI from "openai";

const client = new OpenAI({
  baseURL: "%s",
  apiKey: "%s",
});
const answer = await client.chat.completions.create({
  model: "%s",
  messages: [{ role: "user", content: "Say hello" }],
});
console.log(answer.choices[0].message.content);"""

_PYTHON_KEYS: Final = """import httpx

keys = httpx.get(
    "{base_url}/keys",
    headers={{"Authorization": "Bearer {secret}"}},
)
print(keys.json())"""

_JAVASCRIPT_KEYS: Final = """const keys = await fetch("%s/keys", {
  headers: { Authorization: "Bearer %s" },
});
console.log(await keys.json());"""
