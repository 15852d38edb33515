"""What may not pass, because its cost could not be bounded or its owner told apart. Pure."""

from typing import Any

from gateway.dialects.base import ChatRequest
from gateway.dialects.chat_tools import TOOLS_MAX
from gateway.relay.errors import BadRequest

_MESSAGES_MAX = 10_000
_MODELS_MAX = 32


def admit(request: ChatRequest) -> None:
    """Let the request pass or say why not. Raises: BadRequest naming the field.

    Tools that a provider runs itself (web search, code execution, …) are billed by the call, and their results come back as prompt
    tokens: no hold made beforehand covers them. Uploaded files are named in the operator's account, which all customers share.
    """
    body = request.body
    if body.get("web_search_options") is not None:
        raise _not_offered("web_search_options", "web_search_options")
    tools = body.get("tools") or ()
    if len(tools) > TOOLS_MAX:
        raise BadRequest(f"at most {TOOLS_MAX} tools can be given", metadata={"param": "tools"})
    for place, tool in enumerate(tools):
        kind = tool.get("type", "function")
        if kind not in ("function", "custom"):
            raise _not_offered(f"tools[{place}].type", str(kind))
    if request.message_count > _MESSAGES_MAX:
        raise BadRequest(f"at most {_MESSAGES_MAX:,} messages can be sent", metadata={"param": "messages"})
    if len(request.models) > _MODELS_MAX:
        raise BadRequest(f"at most {_MODELS_MAX} models can be named", metadata={"param": "models"})
    if request.file_parts and any(_is_uploaded(part) for part in _parts(body)):
        raise _not_offered("messages", "file_id")


def _not_offered(param: str, name: str) -> BadRequest:
    return BadRequest(
        f"{name} is run or kept by the provider and is not offered",
        metadata={"param": param},
        remedy="Use function tools, which your own code answers, and send files inline.",
    )


def _parts(body: dict[str, Any]) -> list[dict[str, Any]]:
    contents = [message.get("content") for message in body.get("messages") or () if isinstance(message, dict)]
    return [part for content in contents if isinstance(content, list) for part in content if isinstance(part, dict)]


def _is_uploaded(part: dict[str, Any]) -> bool:
    return isinstance(part.get("file"), dict) and bool(part["file"].get("file_id"))
