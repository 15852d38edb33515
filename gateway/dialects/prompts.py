"""The legacy ``prompt``: one text that a chat model answers. Pure."""

from typing import Any

from gateway.dialects.base import InvalidRequest, Json

_ONE_TEXT = "prompt must be one text"


def read_prompt(prompt: Any) -> str:
    """Return the text of ``prompt``: a string, or a list of one. Raises: InvalidRequest naming ``prompt``.

    Each text of a longer list would be a call of its own, and all of them one answer and one charge; that is refused, not half served.
    """
    if prompt in (None, "", []):
        raise InvalidRequest("prompt is required.", "prompt")
    texts = prompt if isinstance(prompt, list) else [prompt]
    if all(_is_token_ids(text) for text in texts):
        raise InvalidRequest(f"{_ONE_TEXT}, not token ids: they belong to one tokenizer, and every model has its own.", "prompt")
    if not all(isinstance(text, str) for text in texts):
        raise InvalidRequest(f"{_ONE_TEXT} (a string, or a list of one).", "prompt")
    if len(texts) > 1:
        raise InvalidRequest(f"{_ONE_TEXT}; send these {len(texts)} as {len(texts)} requests.", "prompt")
    if not texts[0]:
        raise InvalidRequest("prompt is required.", "prompt")
    text: str = texts[0]
    return text


def _is_token_ids(text: Any) -> bool:
    tokens = text if isinstance(text, list) else [text]
    return bool(tokens) and all(token.__class__ is int for token in tokens)


def message_from_prompt(prompt: Any) -> Json:
    """Return ``prompt`` as the one message that it stands for. Raises: InvalidRequest."""
    return {"role": "user", "content": read_prompt(prompt)}
