"""Tools of type ``custom``, whose calls are free text: OpenAI's own. Everybody else gets a function with one field of text. Pure.

A request is rewritten for such a provider (``as_functions``); in its answer the calls of those functions are free text again, before a
client dialect writes it. A grammar cannot be imposed there: it is told in words, and reported as left out.
"""

from typing import Any

import msgspec

from gateway.dialects.base import ChatRequest, Json
from gateway.dialects.client import ChoiceFilter, Closing, StreamEncoder
from gateway.dialects.free_text import FIELD, FreeText

_encode_json = msgspec.json.Encoder().encode


def as_functions(request: ChatRequest) -> tuple[ChatRequest, tuple[str, ...]]:
    """Return the request without what only OpenAI's own models know of tools, and the names of what that leaves out."""
    source = request.body
    body = {**source, "messages": [_plain_message(message) for message in source["messages"]]}
    dropped: list[str] = []
    if source.get("tools"):
        body["tools"] = [_plain_tool(tool) for tool in source["tools"]]
        where = "format" if request.native_dialect == "responses" else "custom.format"
        dropped = [
            f"tools[{place}].{where}" for place, tool in enumerate(source["tools"]) if _is_custom(tool) and grammar_of(tool["custom"])
        ]
    choice = source.get("tool_choice")
    if isinstance(choice, dict) and choice.get("type") == "custom":
        body["tool_choice"] = {"type": "function", "function": {"name": choice["custom"]["name"]}}
    elif isinstance(choice, dict) and choice.get("type") == "allowed_tools":
        names = {name_of(tool) for tool in choice["allowed_tools"]["tools"]}
        body["tools"] = [tool for tool in body["tools"] if name_of(tool) in names]
        body["tool_choice"] = choice["allowed_tools"]["mode"]
    return msgspec.structs.replace(request, body=body, native={}, native_dialect=""), tuple(dropped)


def name_of(tool: Json) -> Any:
    """Return the name of a tool, or of one that a choice names, in Chat Completions' form; None for one that is of neither kind."""
    named = tool.get(tool["type"])
    return named.get("name") if isinstance(named, dict) else None


def grammar_of(custom: Any) -> Json | None:
    """Return the grammar (``syntax``, ``definition``) that a custom tool's text must follow, if it has one."""
    form = custom.get("format") if isinstance(custom, dict) else None
    return form["grammar"] if isinstance(form, dict) and form.get("type") == "grammar" else None


def flat_custom(custom: Json) -> Json:
    """Return a custom tool as Responses has it."""
    flat: Json = {"type": "custom"} | _known(custom, ("name", "description"))
    if grammar := grammar_of(custom):
        flat["format"] = {"type": "grammar", "syntax": grammar["syntax"], "definition": grammar["definition"]}
    elif isinstance(form := custom.get("format"), dict):
        flat["format"] = {"type": form["type"]}
    return flat


def flat_function(function: Json) -> Json:
    """Return a function as Responses has it."""
    return {"type": "function"} | _known(function, ("name", "description", "parameters", "strict"))


def _known(source: Json, names: tuple[str, ...]) -> Json:
    # Here a field beside these would stand beside the type, and could be another: a tool that the provider runs, an item that it stores.
    return {name: source[name] for name in names if source.get(name) is not None}


def function_for(custom: Json) -> Json:
    """Return the function that stands in for a custom tool."""
    text: Json = {"type": "string", "description": "The whole text, as it is."}
    if grammar := grammar_of(custom):
        text["description"] += f" It must follow this {grammar['syntax']} grammar:\n{grammar['definition']}"
    parameters = {"type": "object", "properties": {FIELD: text}, "required": [FIELD], "additionalProperties": False}
    said = {"description": custom["description"]} if custom.get("description") else {}
    return {"name": custom["name"], **said, "parameters": parameters}


def stand_in_bytes(tools: list[Json]) -> int:
    """Return the bytes of all functions that stand in for custom tools among ``tools``, as they are sent."""
    return sum(len(_encode_json(_plain_tool(tool))) for tool in tools if _is_custom(tool))


def arguments_for(text: str) -> str:
    """Return the arguments of a call that stands in for one with free text."""
    return _encode_json({FIELD: text}).decode()


def function_call_of(call: Json) -> Json:
    """Return name and arguments of a call of either kind."""
    custom = call.get("custom")
    if not isinstance(custom, dict):
        return call["function"]  # type: ignore[no-any-return]
    return {"name": custom["name"], "arguments": arguments_for(custom["input"])}


def _plain_tool(tool: Json) -> Json:
    if not _is_custom(tool):
        return tool
    rest = {name: value for name, value in tool.items() if name != "custom"}
    return {**rest, "type": "function", "function": function_for(tool["custom"])}


def _is_custom(tool: Json) -> bool:
    return tool.get("type") == "custom" and isinstance(tool.get("custom"), dict)


def _plain_message(message: Json) -> Json:
    calls = message.get("tool_calls")
    if not calls or not any(call.get("type") == "custom" for call in calls):
        return message
    plain = [{"id": call["id"], "type": "function", "function": function_call_of(call)} for call in calls]
    return {**message, "tool_calls": plain}


def show_free_text(body: Json, request: ChatRequest) -> None:
    """Turn the calls of stand-ins in a whole canonical answer back into free text, in place."""
    if not request.custom_tools:
        return
    for choice in body["choices"]:
        message = choice["message"]
        if calls := message.get("tool_calls"):
            message["tool_calls"] = [_free_call(call, request.custom_tools) for call in calls]


def _free_call(call: Json, names: tuple[str, ...]) -> Json:
    function = call.get("function")
    if not isinstance(function, dict) or function.get("name") not in names:
        return call
    text = FreeText()
    words = text.feed(function.get("arguments") or "") + text.finish()
    return {"id": call["id"], "type": "custom", "custom": {"name": function["name"], "input": words}}


def showing_free_text(encoder: StreamEncoder, request: ChatRequest) -> StreamEncoder:
    """Return ``encoder`` as it is, or behind one that turns the calls of stand-ins back into free text."""
    return FreeTextEncoder(encoder, request.custom_tools) if request.custom_tools else encoder


class FreeTextEncoder(ChoiceFilter):
    """Turns the calls of stand-ins in chunks into free text before another encoder writes them, as it arrives.

    Free text does not show where it ends: other calls of its choice wait until it is whole, or while nobody can tell the kind of the open
    call, which has no name yet.
    """

    __slots__ = ("_held", "_nameless", "_names", "_open", "_plain", "_texts")

    def __init__(self, encoder: StreamEncoder, names: tuple[str, ...]) -> None:
        super().__init__(encoder)
        self._names = names
        self._texts: dict[tuple[int, int], FreeText] = {}  # by choice and call
        self._open: dict[int, int] = {}  # choice → its call whose text is not whole, or whose name is not there yet
        self._held: dict[int, list[Json]] = {}  # choice → what waits for that
        self._nameless: dict[int, Json] = {}  # choice → what its open call told before its name
        self._plain: set[tuple[int, int]] = set()  # functions that are told as they come

    def finish(self, closing: Closing) -> bytes:
        """Return the events that end an answer, what waited before them."""
        return self._rest() + super().finish(closing)

    def fail(self, error: Json, closing: Closing | None) -> bytes:
        """Return the events that end a stream with ``error``, what waited before them."""
        return self._rest() + super().fail(error, closing)

    def _rest(self) -> bytes:
        chunks = []
        for index in list(self._open):
            if calls := self._end(index):
                choice = {"index": index, "delta": {"tool_calls": calls}, "finish_reason": None, "native_finish_reason": None}
                chunks.append({"object": "chat.completion.chunk", "choices": [choice]})
        return self._encoder.encode(chunks) if chunks else b""

    def _shown(self, choice: Json) -> Json | None:
        """Return the choice with its calls as free text; None when nothing is left to tell now."""
        delta, index, has_ended = choice["delta"], choice["index"], bool(choice.get("finish_reason"))
        told = delta.get("tool_calls")
        if not told and not (has_ended and index in self._open):
            return choice
        calls = self._calls(index, told or [])
        if has_ended:
            calls += self._end(index)
        kept = {name: value for name, value in delta.items() if name != "tool_calls"}
        if calls:
            kept["tool_calls"] = calls
        elif not has_ended and not any(kept.values()):
            return None
        return {**choice, "delta": kept}

    def _calls(self, index: int, deltas: list[Json]) -> list[Json]:
        """Return what can be told of calls now, each call's deltas in their order."""
        queue = [*self._held.pop(index, ()), *deltas]
        told: list[Json] = []
        while queue:
            waits: list[Json] = []
            for delta in queue:
                place, busy = delta["index"], self._open.get(index)
                if (busy is None or busy == place) and all(one["index"] != place for one in waits):
                    told += self._take(index, delta)
                else:
                    waits.append(delta)
            if len(waits) == len(queue):
                self._held[index] = waits
                break
            queue = waits
        return told

    def _take(self, index: int, delta: Json) -> list[Json]:
        place = delta["index"]
        text = self._texts.get((index, place))
        if text is None:
            if (index, place) in self._plain or not delta.get("function"):
                return [delta]
            delta = _joined(self._nameless.pop(index, None), delta)
            if not delta["function"].get("name"):
                self._nameless[index], self._open[index] = delta, place
                return []
            if delta["function"]["name"] not in self._names:
                self._plain.add((index, place))
                self._open.pop(index, None)
                return [delta]
        function = delta.get("function") or {}
        is_new = text is None
        if text is None:
            text = self._texts[index, place] = FreeText()
            self._open[index] = place
        words = text.feed(function.get("arguments") or "")
        if text.is_closed and self._open.get(index) == place:
            del self._open[index]
        if is_new:
            return [{"index": place, "id": delta.get("id", ""), "type": "custom", "custom": {"name": function["name"], "input": words}}]
        return [{"index": place, "custom": {"input": words}}] if words else []

    def _end(self, index: int) -> list[Json]:
        """Return the rest of a choice's calls."""
        told: list[Json] = []
        while (place := self._open.pop(index, None)) is not None:
            if (nameless := self._nameless.pop(index, None)) is not None:
                self._plain.add((index, place))
                told.append(nameless)
            elif words := self._texts[index, place].finish():
                told.append({"index": place, "custom": {"input": words}})
            told += self._calls(index, [])
        return told


def _joined(opened: Json | None, delta: Json) -> Json:
    """Return the first deltas of a call as one; hosts tell an id first, its name in a later delta."""
    if opened is None:
        return delta
    before, now = opened["function"], delta["function"]
    arguments = (before.get("arguments") or "") + (now.get("arguments") or "")
    return {**opened, **delta, "function": {**before, **now, "arguments": arguments}}
