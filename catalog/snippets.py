"""A first request to one model, ready to paste."""

from typing import Final, NamedTuple

from django.conf import settings


class Snippet(NamedTuple):
    """One way to say the request. ``id`` is its element's id on the page."""

    id: str
    language: str
    text: str


_CURL: Final = """curl %(url)s/chat/completions \\
  -H "Authorization: Bearer $TOLLWAY_API_KEY" \\
  -H "Content-Type: application/json" \\
  -d '{
    "model": "%(model)s",
    "messages": [{"role": "user", "content": "Say hello"}]
  }'"""
_PYTHON: Final = """from openai import OpenAI

client = OpenAI(base_url="%(url)s", api_key="your Tollway key")
answer = client.chat.completions.create(
    model="%(model)s",
    messages=[{"role": "user", "content": "Say hello"}],
)
print(answer.choices[0].message.content)"""
_TYPESCRIPT: Final = """import OpenAI from "openai";

const client = new OpenAI({ baseURL: "%(url)s", apiKey: process.env.TOLLWAY_API_KEY });
const answer = await client.chat.completions.create({
  model: "%(model)s",
  messages: [{ role: "user", content: "Say hello" }],
});
console.log(answer.choices[0].message.content);"""


def for_model(model_id: str) -> list[Snippet]:
    """Return the request in three languages."""
    values = {"url": f"{settings.PUBLIC_URL.rstrip('/')}/api/v1", "model": model_id}
    return [
        Snippet("snippet-curl", "curl", _CURL % values),
        Snippet("snippet-python", "Python", _PYTHON % values),
        Snippet("snippet-typescript", "TypeScript", _TYPESCRIPT % values),
    ]
