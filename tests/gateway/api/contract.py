"""Checks an answer against the schema of OpenRouter's OpenAPI document: contract/*.json, one file per answer, references resolved;
``data_plane.json`` has those of models, whose schemas refer to each other by name.

Left out of the fragments: descriptions, examples, the closed list of OpenRouter's own provider names, and the items of tools that
providers run by themselves.
"""

import datetime as dt
import json
from pathlib import Path
from typing import Any

_FOLDER = Path(__file__).parent / "contract"
_KNOWN = {"type", "properties", "required", "items", "enum", "const", "format", "additionalProperties", "maxLength"}
_COMPOUND = {"$ref", "allOf", "anyOf", "oneOf"}
_DATA_PLANE: dict[str, Any] = json.loads((_FOLDER / "data_plane.json").read_text())
_TYPES: dict[str, Any] = {"string": str, "boolean": bool, "object": dict, "array": list, "null": type(None)}


def breaches(name: str, answer: Any) -> list[str]:
    """Return what in the answer breaks the schema ``contract/<name>.json``; empty when all is well."""
    return _check(json.loads((_FOLDER / f"{name}.json").read_text()), answer, "$")


def model_breaches(name: str, answer: Any) -> list[str]:
    """Return what in the answer of a model breaks the schema ``name`` of ``data_plane.json``: chat, chat_event, chat_400, …"""
    return _check(_DATA_PLANE["answers"][name], answer, "$")


def model_schema(name: str) -> dict[str, Any]:
    """Return a schema that the others of ``data_plane.json`` refer to."""
    schema: dict[str, Any] = _DATA_PLANE["schemas"][name]
    return schema


def _check(schema: dict[str, Any], value: Any, where: str) -> list[str]:
    if not schema.keys() & _COMPOUND:
        return _check_plain(schema, value, where)
    found = _check_plain({key: rule for key, rule in schema.items() if key not in _COMPOUND}, value, where)
    if name := schema.get("$ref"):
        found += _check(_DATA_PLANE["schemas"][name], value, where)
    for inner in schema.get("allOf", []):
        found += _check(inner, value, where)
    for kind in ("anyOf", "oneOf"):
        if kind in schema:
            # The alternative that fits best says most of what is wrong.
            found += min((_check(inner, value, where) for inner in schema[kind]), key=len)
    return found


def _check_plain(schema: dict[str, Any], value: Any, where: str) -> list[str]:
    assert set(schema) <= _KNOWN, f"the checker does not know {set(schema) - _KNOWN}"
    found: list[str] = []
    types = schema.get("type", [])
    types = [types] if isinstance(types, str) else types
    if types and not any(_is(value, kind) for kind in types):
        return [f"{where}: {value!r} is not {' or '.join(types)}"]
    if "enum" in schema and value not in schema["enum"]:
        found.append(f"{where}: {value!r} is not one of {schema['enum']}")
    if "const" in schema and value != schema["const"]:
        found.append(f"{where}: {value!r} is not {schema['const']!r}")
    if schema.get("format") == "date-time" and isinstance(value, str) and dt.datetime.fromisoformat(value).tzinfo is None:
        found.append(f"{where}: {value!r} has no offset")
    return found + (_check_members(schema, value, where) if isinstance(value, dict | list) else [])


def _check_members(schema: dict[str, Any], value: Any, where: str) -> list[str]:
    found: list[str] = []
    if isinstance(value, dict):
        found += [f"{where}.{name} is missing" for name in schema.get("required", []) if name not in value]
        for name, inner in schema.get("properties", {}).items():
            if name in value:
                found += _check(inner, value[name], f"{where}.{name}")
        more = schema.get("additionalProperties")
        if isinstance(more, dict):
            for name in value.keys() - schema.get("properties", {}).keys():
                found += _check(more, value[name], f"{where}.{name}")
    if isinstance(value, list):
        for place, inner in enumerate(value):
            found += _check(schema.get("items", {}), inner, f"{where}[{place}]")
    return found


def _is(value: Any, kind: str) -> bool:
    if kind in {"number", "integer"}:
        return isinstance(value, int | float if kind == "number" else int) and not isinstance(value, bool)
    return isinstance(value, _TYPES[kind])
