"""Anthropic's signed thoughts: blocks ↔ reasoning details. LiteLLM carries the same blocks beside the words of Chat Completions. Pure."""

from collections.abc import Iterable
from typing import Any

from gateway.dialects.base import Json

REASONING_FORMAT = "anthropic-claude-v1"


def details_of(blocks: list[Any]) -> list[Json]:
    """Return thinking blocks, whole or pieces of a stream, as reasoning details."""
    details: list[Json] = []
    for index, block in enumerate(blocks):
        if not isinstance(block, dict):
            continue
        if block.get("type") == "redacted_thinking":
            details.append(
                {"type": "reasoning.encrypted", "data": str(block.get("data") or ""), "format": REASONING_FORMAT, "index": index}
            )
        elif block.get("type") == "thinking":
            text = block.get("thinking")
            detail: Json = {
                "type": "reasoning.text",
                "text": text if isinstance(text, str) else None,
                "format": REASONING_FORMAT,
                "index": index,
            }
            if isinstance(block.get("signature"), str) and block["signature"]:
                detail["signature"] = block["signature"]
            details.append(detail)
    return details


def signed_blocks(details: Iterable[Json]) -> list[Json]:
    """Return the thinking blocks in ``details``: pieces of one index joined; what has no signature cannot be replayed and is left out."""
    blocks: list[Json] = []
    at: dict[Any, Json] = {}
    for detail in details:
        if detail.get("format") not in (REASONING_FORMAT, None):
            continue
        if detail.get("type") == "reasoning.encrypted" and detail.get("data"):
            blocks.append({"type": "redacted_thinking", "data": detail["data"]})
        elif detail.get("type") == "reasoning.text":
            index = detail.get("index", len(blocks))
            block = at.get(index)
            if block is None:
                block = at[index] = {"type": "thinking", "thinking": "", "signature": ""}
                blocks.append(block)
            block["thinking"] += detail.get("text") or ""
            block["signature"] = detail.get("signature") or block["signature"]
    return [block for block in blocks if block["type"] != "thinking" or block["signature"]]
