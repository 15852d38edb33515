"""What each provider's format does with each part of a request, found by asking it: ``python -m tests.gateway.dialects.matrix`` writes it
into docs/dialects.md, and a test holds it to that.

kept or mapped: the body for the provider differs, and what was asked for is not among what was left out; left out: named as such; refused:
a 400 that names the field; not sent: a hint, or what is another provider's.
"""

from pathlib import Path
from typing import Any, Final

import msgspec

from gateway.dialects.base import InvalidRequest
from gateway.dialects.registry import dialect_for, fit_tools
from tests.gateway.dialects.builders import endpoint, provider, request

PAGE: Final = Path(__file__).parents[3] / "docs" / "dialects.md"
BEGIN, END = "<!-- written by tests.gateway.dialects.matrix -->\n", "<!-- end -->\n"
# Format → a model and a provider that speak it.
FORMATS: Final = {
    "chat_completions": ("model-1", "host"),
    "messages": ("claude-opus-4-5", "anthropic"),
    "gemini": ("gemini-2.5-pro", "google-ai-studio"),
    "responses": ("gpt-5", "openai"),
    "bedrock": ("us.anthropic.claude-sonnet-4-5-v1:0", "amazon-bedrock"),
    "cohere": ("command-a", "cohere"),
}
SUPPORTS: Final = {
    *("temperature", "top_p", "top_k", "seed", "frequency_penalty", "presence_penalty", "stop", "tools", "tool_choice", "response_format"),
    *("structured_outputs", "reasoning", "reasoning_effort", "logprobs", "max_tokens"),
}
HELLO: Final = {"role": "user", "content": "hello"}
SCHEMA: Final = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": False}
TOOL: Final = {"type": "function", "function": {"name": "look", "parameters": SCHEMA}}
FREE: Final = {"type": "custom", "custom": {"name": "run"}}
GRAMMAR: Final = {
    "type": "custom",
    "custom": {"name": "run", "format": {"type": "grammar", "grammar": {"syntax": "regex", "definition": "a+"}}},
}
ALLOWED: Final = {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [{"type": "custom", "custom": {"name": "run"}}]}}
PNG, PDF, WAV = "data:image/png;base64,iVBORw0KGgo=", "data:application/pdf;base64,JVBERi0=", "UklGRg=="
CALL: Final = {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
SIGNED: Final = {"type": "reasoning.text", "text": "Hm.", "signature": "c2ln", "format": "anthropic-claude-v1", "index": 0}


def _part(**part: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": [{"type": "text", "text": "hello"}, part]}]}


def _after_call(content: Any) -> dict[str, Any]:
    called = {"role": "assistant", "content": None, "tool_calls": [CALL]}
    return {"tools": [TOOL], "messages": [HELLO, called, {"role": "tool", "tool_call_id": "call_1", "content": content}]}


# What is asked → the fields of the request, and those without it (what it is compared with).
FEATURES: Final[dict[str, tuple[dict[str, Any], dict[str, Any]]]] = {
    **{
        f"`{name}`": ({name: value}, {})
        for name, value in {
            "max_tokens": 77, "temperature": 0.5, "top_p": 0.5, "top_k": 5, "min_p": 0.1, "top_a": 0.1, "frequency_penalty": 0.5,
            "presence_penalty": 0.5, "repetition_penalty": 1.1, "seed": 7, "stop": ["x"], "logit_bias": {"1": 5}, "n": 2,
            "prediction": {"type": "content", "content": "x"}, "user": "eva", "verbosity": "low", "modalities": ["text", "image"],
        }.items()
    },
    "`logprobs`": ({"logprobs": True, "top_logprobs": 2}, {}),
    "`tools`": ({"tools": [TOOL]}, {}),
    "`tool_choice`, a named tool": (
        {"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "look"}}}, {"tools": [TOOL]},
    ),
    "`tool_choice: required`": ({"tools": [TOOL], "tool_choice": "required"}, {"tools": [TOOL]}),
    "`parallel_tool_calls: false`": ({"tools": [TOOL], "parallel_tool_calls": False}, {"tools": [TOOL]}),
    "tools of type `custom` (free text)": ({"tools": [FREE]}, {}),
    "a grammar for their text": ({"tools": [GRAMMAR]}, {"tools": [FREE]}),
    "`tool_choice: allowed_tools`": ({"tools": [TOOL, FREE], "tool_choice": ALLOWED}, {"tools": [TOOL, FREE]}),
    "`functions` (legacy)": ({"functions": [{"name": "look"}]}, {}),
    "`response_format: json_object`": ({"response_format": {"type": "json_object"}}, {}),
    "`response_format: json_schema`": ({"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": SCHEMA}}}, {}),
    "`reasoning.effort`": ({"reasoning": {"effort": "low"}, "max_tokens": 9000}, {"max_tokens": 9000}),
    "`reasoning.max_tokens`": ({"reasoning": {"max_tokens": 2000}, "max_tokens": 9000}, {"max_tokens": 9000}),
    "orders in the middle": (
        {"messages": [HELLO, {"role": "system", "content": "be brief"}, HELLO]}, {"messages": [HELLO, HELLO]},
    ),
    "an answer begun (prefill)": ({"messages": [HELLO, {"role": "assistant", "content": "Sure"}]}, {}),
    "`cache_control` on a part": (
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "hello", "cache_control": {"type": "ephemeral"}}]}]},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "hello"}]}]},
    ),
    "a picture, inline": (_part(type="image_url", image_url={"url": PNG}), {}),
    "a picture, by address": (_part(type="image_url", image_url={"url": "https://example.com/a.png"}), {}),
    "a PDF, inline": (_part(type="file", file={"file_data": PDF, "filename": "a.pdf"}), {}),
    "sound": (_part(type="input_audio", input_audio={"data": WAV, "format": "wav"}), {}),
    "a film": (_part(type="video_url", video_url={"url": "https://example.com/a.mp4"}), {}),
    "a picture in a tool's result": (
        _after_call([{"type": "text", "text": "seen"}, {"type": "image_url", "image_url": {"url": PNG}}]),
        _after_call([{"type": "text", "text": "seen"}]),
    ),
    "signed thoughts of Claude's, sent back": (
        {"messages": [HELLO, {"role": "assistant", "content": "Hi", "reasoning_details": [SIGNED]}, HELLO]},
        {"messages": [HELLO, {"role": "assistant", "content": "Hi"}, HELLO]},
    ),
}  # fmt: skip
# What asks nothing of the answer: it may be left out in silence.
HINTS: Final = {"`user`", "`cache_control` on a part", "signed thoughts of Claude's, sent back"}


def fate(feature: str, form: str) -> str:
    """Return what becomes of a feature in a provider's format: yes, left out, refused, not sent, or ignored, which must not be."""
    model, slug = FORMATS[form]
    spec, host = endpoint(model, supports=SUPPORTS, max_output_tokens=16_000), provider(slug, form)
    fields, without = FEATURES[feature]

    def send(body: dict[str, Any]) -> Any:
        fitted, lost = fit_tools(request(**body), spec, host)
        call = dialect_for(form).encode_request(fitted, spec, host, stream=False, max_tokens=None)
        return msgspec.structs.replace(call, dropped=lost + call.dropped)

    try:
        call, plain = send(fields), send(without)
    except InvalidRequest as refusal:
        return "refused" if refusal.param else "refused without a name"
    if set(call.dropped) - set(plain.dropped):
        return "left out"
    if msgspec.json.decode(call.body) != msgspec.json.decode(plain.body):
        return "yes"
    return "not sent" if feature in HINTS else "ignored"


def table() -> str:
    """Return the matrix."""
    rows = [f"| {feature} | " + " | ".join(fate(feature, form) for form in FORMATS) + " |" for feature in FEATURES]
    return "\n".join([f"| asked for in Chat Completions | {' | '.join(FORMATS)} |", "|---" * (len(FORMATS) + 1) + "|", *rows]) + "\n"


def written() -> str:
    """Return the matrix that the page has."""
    return PAGE.read_text(encoding="utf-8").partition(BEGIN)[2].partition(END)[0]


if __name__ == "__main__":
    page = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(page.replace(BEGIN + written() + END, BEGIN + table() + END), encoding="utf-8")
