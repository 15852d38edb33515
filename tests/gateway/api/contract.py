"""Checks an answer against the schema of OpenRouter's OpenAPI document: contract/*.json, one file per answer, references resolved.

Left out of the fragments: descriptions, examples, and the closed list of OpenRouter's own provider names.
"""

import datetime as dt
import json
from pathlib import Path
from typing import Any

_FOLDER = Path(__file__).parent / "contract"
_KNOWN = {"type", "properties", "required", "items", "enum", "const", "format", "additionalProperties"}
_TYPES: dict[str, Any] = {"string": str, "boolean": bool, "object": dict, "array": list, "null": type(None)}


def breaches(name: str, answer: Any) -> list[str]:
    """Return what in the answer breaks the schema ``contract/<name>.json``; empty when all is well."""
    return _check(json.loads((_FOLDER / f"{name}.json").read_text()), answer, "$")


def _check(schema: dict[str, Any], value: Any, where: str) -> list[str]:
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
    if isinstance(value, dict):
        found += [f"{where}.{name} is missing" for name in schema.get("required", []) if name not in value]
        for name, inner in schema.get("properties", {}).items():
            if name in value:
                found += _check(inner, value[name], f"{where}.{name}")
    if isinstance(value, list):
        for place, inner in enumerate(value):
            found += _check(schema.get("items", {}), inner, f"{where}[{place}]")
    return found


def _is(value: Any, kind: str) -> bool:
    if kind in {"number", "integer"}:
        return isinstance(value, int | float if kind == "number" else int) and not isinstance(value, bool)
    return isinstance(value, _TYPES[kind])
