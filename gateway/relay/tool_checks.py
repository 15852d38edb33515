"""Whether the tool calls of an answer can be carried out: valid JSON, a tool that the request has, and arguments that fit its schema as
far as it can be seen at a glance. Pure.

OpenRouter's three classes: InvalidJson, UnknownName, SchemaMismatch. Of a schema only the top level is compared (required names, names
that are not allowed, plain types): what models get wrong is seen there, and it takes microseconds where a validator takes milliseconds.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

_decode = msgspec.json.Decoder().decode
FREE_TEXT: Final = object()  # in the place of a schema: any text will do
_TYPES: Final[Mapping[str, tuple[type, ...]]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
    "null": (type(None),),
}


def schemas_of(tools: Any) -> dict[str, Any]:
    """Return name → JSON Schema of the request's function tools, FREE_TEXT of custom ones; what is neither is left out."""
    found: dict[str, Any] = {}
    for tool in tools if isinstance(tools, list) else ():
        function = tool.get("function") if isinstance(tool, dict) else None
        if isinstance(function, dict) and isinstance(function.get("name"), str):
            found[function["name"]] = function.get("parameters")
        custom = tool.get("custom") if isinstance(tool, dict) else None
        if isinstance(custom, dict) and isinstance(custom.get("name"), str):
            found[custom["name"]] = FREE_TEXT
    return found


def find_fault(calls: Iterable[tuple[str, str]], schemas: Mapping[str, Any]) -> str:
    """Return the class of the first bad call (name, arguments as text), '' when all are good. No arguments at all are an empty object."""
    for name, arguments in calls:
        if name not in schemas:
            return "UnknownName"
        if schemas[name] is FREE_TEXT:
            continue
        try:
            values = _decode(arguments) if arguments.strip() else {}
        except msgspec.DecodeError:
            return "InvalidJson"
        if not isinstance(values, dict):
            return "InvalidJson"
        if not _fits(values, schemas[name]):
            return "SchemaMismatch"
    return ""


def _fits(values: dict[str, Any], schema: Any) -> bool:
    if not isinstance(schema, dict):
        return True
    properties = schema.get("properties")
    properties = properties if isinstance(properties, dict) else {}
    required = schema.get("required")
    if isinstance(required, list) and any(name not in values for name in required):
        return False
    if schema.get("additionalProperties") is False and not schema.get("patternProperties") and not values.keys() <= properties.keys():
        return False
    return all(_is_of(value, properties[name]) for name, value in values.items() if name in properties)


def _is_of(value: Any, schema: Any) -> bool:
    kinds = schema.get("type") if isinstance(schema, dict) else None
    if isinstance(kinds, str):
        kinds = [kinds]
    if not isinstance(kinds, list) or not all(isinstance(kind, str) and kind in _TYPES for kind in kinds):
        return True
    if isinstance(value, bool):
        return "boolean" in kinds
    if isinstance(value, float) and value.is_integer() and "integer" in kinds:  # JSON Schema: 1.0 is an integer
        return True
    return any(isinstance(value, _TYPES[kind]) for kind in kinds)
