"""Run as a script: the client that the command line names asks for everything it can, and what it heard is printed as JSON."""

import importlib.metadata
import json
import sys
from typing import Any

import anthropic
import openai
import openrouter
from common import BASE, EMBEDDER, HELLO, KEY, LONG, LOOK, MODEL, PICTURE, REFUSED, SCHEMA, caught, gather, said, stopped_ms

FUNCTIONS: Any = [{"type": "function", "function": {"name": "look", "parameters": SCHEMA}}]
FORMAT: Any = {"type": "json_schema", "json_schema": {"name": "place", "schema": SCHEMA, "strict": True}}
SEEN: Any = [{"type": "text", "text": HELLO}, {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PICTURE}"}}]


def words_of(chunks: Any) -> str:
    return "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)


def streamed_calls(chunks: Any) -> list[Any]:
    return gather(one for chunk in chunks for choice in chunk.choices for one in choice.delta.tool_calls or [])


def try_openai() -> dict[str, Any]:
    client = openai.OpenAI(base_url=f"{BASE}/api/v1", api_key=KEY, max_retries=0)

    def ask(content: Any, **more: Any) -> Any:
        return client.chat.completions.create(model=MODEL, messages=said(content), **more)

    whole = ask(HELLO)
    long = ask(LONG, stream=True, max_tokens=5000)
    return {
        "whole": whole.choices[0].message.content,
        "streamed": words_of(ask(HELLO, stream=True)),
        "calls": [json.loads(call.function.arguments) for call in ask(LOOK, tools=FUNCTIONS).choices[0].message.tool_calls],
        "streamedCalls": streamed_calls(ask(LOOK, tools=FUNCTIONS, stream=True)),
        "structured": json.loads(ask(HELLO, response_format=FORMAT).choices[0].message.content),
        "pictureTokens": ask(SEEN).usage.prompt_tokens - whole.usage.prompt_tokens,
        "thoughts": ask(HELLO, reasoning_effort="high").choices[0].message.reasoning,
        "vectors": [len(one.embedding) for one in client.embeddings.create(model=EMBEDDER, input=["a road", "a hill"]).data],
        "error": caught(lambda: ask(REFUSED)),
        "stoppedMs": stopped_ms(iter(long), long.close),
        "responses": client.responses.create(model=MODEL, input=HELLO).output_text,
    }


def try_anthropic() -> dict[str, Any]:
    client = anthropic.Anthropic(base_url=f"{BASE}/api", api_key=KEY, max_retries=0)
    tools: Any = [{"name": "look", "input_schema": SCHEMA}]
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PICTURE}}

    def ask(content: Any, **more: Any) -> Any:
        return client.messages.create(model=MODEL, max_tokens=5000, messages=said(content), **more)

    def streamed(content: Any, **more: Any) -> Any:
        with client.messages.stream(model=MODEL, max_tokens=5000, messages=said(content), **more) as stream:
            return stream.get_final_message()

    def inputs(message: Any) -> list[Any]:
        return [block.input for block in message.content if block.type == "tool_use"]

    whole = ask(HELLO)
    long = ask(LONG, stream=True)
    return {
        "whole": whole.content[0].text,
        "streamed": streamed(HELLO).content[0].text,
        "calls": inputs(ask(LOOK, tools=tools)),
        "streamedCalls": inputs(streamed(LOOK, tools=tools)),
        "structured": json.loads(ask(HELLO, output_config={"format": {"type": "json_schema", "schema": SCHEMA}}).content[0].text),
        "pictureTokens": ask([{"type": "text", "text": HELLO}, image]).usage.input_tokens - whole.usage.input_tokens,
        "thoughts": ask(HELLO, thinking={"type": "enabled", "budget_tokens": 1024}).content[0].thinking,
        "error": caught(lambda: ask(REFUSED)),
        "stoppedMs": stopped_ms(iter(long), long.close),
    }


def try_openrouter() -> dict[str, Any]:
    client = openrouter.OpenRouter(api_key=KEY, server_url=f"{BASE}/api/v1")

    def ask(content: Any, **more: Any) -> Any:
        return client.chat.send(model=MODEL, messages=said(content), retries=None, **more)

    whole = ask(HELLO)
    long = ask(LONG, stream=True, max_tokens=5000)
    return {
        "whole": whole.choices[0].message.content,
        "streamed": words_of(ask(HELLO, stream=True)),
        "calls": [json.loads(call.function.arguments) for call in ask(LOOK, tools=FUNCTIONS).choices[0].message.tool_calls],
        "streamedCalls": streamed_calls(ask(LOOK, tools=FUNCTIONS, stream=True)),
        "structured": json.loads(ask(HELLO, response_format=FORMAT).choices[0].message.content),
        "pictureTokens": ask(SEEN).usage.prompt_tokens - whole.usage.prompt_tokens,
        "thoughts": ask(HELLO, reasoning={"effort": "high"}).choices[0].message.reasoning,
        "vectors": [len(one.embedding) for one in client.embeddings.generate(model=EMBEDDER, input=["a road", "a hill"]).data],
        "error": caught(lambda: ask(REFUSED)),
        "stoppedMs": stopped_ms(iter(long), long.response.close),
        "version": importlib.metadata.version("openrouter"),
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps({"openai": try_openai, "anthropic": try_anthropic, "openrouter": try_openrouter}[sys.argv[1]]()))
