"""JSON schemas cut down to what Gemini's function declarations accept. Pure; the input is never changed."""

from typing import Any

from gateway.dialects.base import Json

_KEPT = frozenset(
    {
        "type", "title", "description", "enum", "items", "properties", "required", "minItems", "maxItems", "minimum", "maximum",
        "minLength", "maxLength", "pattern", "minProperties", "maxProperties", "anyOf", "nullable", "default", "example",
        "propertyOrdering", "format",
    }
)  # fmt: skip
_FORMATS = {"string": frozenset({"enum", "date-time"}), "number": frozenset({"float", "double"}), "integer": frozenset({"int32", "int64"})}
_DEPTH_MAX = 32  # recursive schemas are unrolled this far


def clean_schema(schema: Any) -> Json:
    """Return ``schema`` in Gemini's subset of OpenAPI.

    References are put in place, const becomes an enum, oneOf anyOf, null types ``nullable``, exclusive bounds inclusive ones (the
    next whole number for integers); everything else that is unknown goes.
    """
    if not isinstance(schema, dict):
        return {"type": "object"}
    return _clean(schema, schema, 0)


def _clean(schema: Any, root: Json, depth: int) -> Json:
    if not isinstance(schema, dict):
        return {}  # true and false schemas allow all or nothing; neither can be said
    if depth > _DEPTH_MAX:
        return {"type": "object"}
    if isinstance(schema.get("$ref"), str):
        target = _resolve(schema["$ref"], root)
        rest = {name: value for name, value in schema.items() if name != "$ref"}
        return _clean({**target, **rest}, root, depth + 1)
    schema = _merge_all_of(schema, root, depth)
    clean: Json = {name: value for name, value in schema.items() if name in _KEPT and value is not None}
    _clean_type(schema, clean)
    _clean_choices(schema, clean, root, depth)
    _clean_bounds(schema, clean)
    if isinstance(clean.get("properties"), dict):
        clean["properties"] = {name: _clean(value, root, depth + 1) for name, value in clean["properties"].items()}
    if "items" in clean:
        clean["items"] = _clean(clean["items"] if isinstance(clean["items"], dict) else {}, root, depth + 1)
    elif clean.get("type") == "array":
        clean["items"] = _clean((schema.get("prefixItems") or [{"type": "string"}])[0], root, depth + 1)
    if isinstance(clean.get("required"), list):
        known = clean.get("properties") or {}
        clean["required"] = [name for name in clean["required"] if name in known]
        if not clean["required"]:
            del clean["required"]
    return clean


def _merge_all_of(schema: Json, root: Json, depth: int) -> Json:
    parts = schema.get("allOf")
    if not isinstance(parts, list):
        return schema
    merged: Json = {name: value for name, value in schema.items() if name != "allOf"}
    for part in parts:
        resolved = _resolve(part["$ref"], root) if isinstance(part, dict) and isinstance(part.get("$ref"), str) else part
        if not isinstance(resolved, dict) or depth > _DEPTH_MAX:
            continue
        for name, value in _merge_all_of(resolved, root, depth + 1).items():
            if name == "properties":
                merged[name] = {**value, **merged.get(name, {})}
            elif name == "required":
                merged[name] = [*merged.get(name, []), *value]
            else:
                merged.setdefault(name, value)
    return merged


def _clean_type(schema: Json, clean: Json) -> None:
    kinds = schema.get("type")
    if isinstance(kinds, list):
        others = [kind for kind in kinds if kind != "null"]
        if len(others) < len(kinds):
            clean["nullable"] = True
        clean.pop("type")
        if len(others) == 1:
            clean["type"] = others[0]
        elif others:
            clean["anyOf"] = [{"type": kind} for kind in others]
    if "type" not in clean and "anyOf" not in clean and "properties" in clean:
        clean["type"] = "object"
    kind = clean.get("type")
    if "format" in clean and clean["format"] not in _FORMATS.get(kind if isinstance(kind, str) else "", ()):
        del clean["format"]


def _clean_choices(schema: Json, clean: Json, root: Json, depth: int) -> None:
    if "const" in schema:
        clean["enum"] = [schema["const"]]
    if "enum" in clean:
        # Only texts may be enumerated, and never the empty one.
        values = [str(value) for value in clean["enum"] or () if value not in (None, "") and not isinstance(value, bool | dict | list)]
        if None in (clean["enum"] or ()):
            clean["nullable"] = True
        del clean["enum"]
        if values and clean.get("type", "string") == "string":
            clean["type"] = "string"
            clean["enum"] = values
    options = clean.pop("anyOf", None) or schema.get("oneOf")
    if isinstance(options, list):
        real = [one for one in options if not (isinstance(one, dict) and one.get("type") == "null")]
        if len(real) < len(options):
            clean["nullable"] = True
        cleaned = [_clean(one, root, depth + 1) for one in real]
        if len(cleaned) == 1:
            clean.update({name: value for name, value in cleaned[0].items() if name not in clean or name == "type"})
        elif cleaned:
            clean["anyOf"] = cleaned


def _clean_bounds(schema: Json, clean: Json) -> None:
    step = 1 if clean.get("type") == "integer" else 0
    for name, target, move in (("exclusiveMinimum", "minimum", step), ("exclusiveMaximum", "maximum", -step)):
        bound = schema.get(name)
        if isinstance(bound, int | float) and not isinstance(bound, bool):
            clean.setdefault(target, bound + move)


def _resolve(reference: str, root: Json) -> Json:
    found: Any = root
    for step in reference.removeprefix("#").strip("/").split("/"):
        if step:
            found = found.get(step.replace("~1", "/").replace("~0", "~")) if isinstance(found, dict) else None
    return found if isinstance(found, dict) else {}
