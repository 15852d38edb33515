"""Values that satisfy a JSON schema: for tool arguments and structured answers. Pure, deterministic."""

from typing import Any

Json = dict[str, Any]

_FORMATS = {
    "date-time": "2026-01-01T00:00:00Z",
    "date": "2026-01-01",
    "time": "00:00:00Z",
    "email": "someone@example.com",
    "uri": "https://example.com",
    "url": "https://example.com",
    "uuid": "00000000-0000-4000-8000-000000000000",
    "ipv4": "192.0.2.1",
    "duration": "PT1S",
}
_DEPTH_MAX = 24


def sample_value(schema: Any, *, hint: str = "simulated") -> Any:
    """Return a value valid against ``schema``, within the keywords that tools and structured outputs use (no patterns).

    ``hint`` is the text of free strings. Optional properties are left out below the first level, so recursion ends.
    """
    return _sample(schema, schema if isinstance(schema, dict) else {}, hint, 0)


def _sample(schema: Any, root: Json, hint: str, depth: int) -> Any:
    if not isinstance(schema, dict) or depth > _DEPTH_MAX:
        return hint
    if "const" in schema:
        return schema["const"]
    if isinstance(schema.get("enum"), list) and schema["enum"]:
        return schema["enum"][0]
    if isinstance(schema.get("$ref"), str):
        return _sample(_resolve(schema["$ref"], root), root, hint, depth + 1)
    for name in ("anyOf", "oneOf"):
        options = schema.get(name)
        if isinstance(options, list) and options:
            first = next((one for one in options if not (isinstance(one, dict) and one.get("type") == "null")), options[0])
            return _sample(first, root, hint, depth + 1)
    if isinstance(schema.get("allOf"), list) and schema["allOf"]:
        schema = _merged([_inlined(one, root) for one in schema["allOf"]], schema)
    return _by_type(schema, root, hint, depth)


def _by_type(schema: Json, root: Json, hint: str, depth: int) -> Any:
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((one for one in kind if one != "null"), "null")
    kind = kind.lower() if isinstance(kind, str) else ("object" if "properties" in schema else "array" if "items" in schema else "string")
    if kind == "object":
        return _sample_object(schema, root, hint, depth)
    if kind == "array":
        length = max(int(schema.get("minItems") or 0), 1 if depth < _DEPTH_MAX // 2 else 0)
        length = min(length, int(schema.get("maxItems", length)))
        prefix = schema.get("prefixItems") or []
        return [
            _sample(prefix[place] if place < len(prefix) else schema.get("items", {}), root, hint, depth + 1) for place in range(length)
        ]
    if kind in ("integer", "number"):
        return _sample_number(schema, whole=kind == "integer")
    if kind == "boolean":
        return True
    return None if kind == "null" else _sample_string(schema, hint)


def _sample_object(schema: Json, root: Json, hint: str, depth: int) -> Json:
    properties = schema.get("properties")
    properties = properties if isinstance(properties, dict) else {}
    required = [name for name in schema.get("required") or () if isinstance(name, str)]
    names = list(properties) if depth == 0 else [name for name in properties if name in required]
    names += [name for name in required if name not in properties]
    return {name: _sample(properties.get(name, {}), root, hint, depth + 1) for name in names}


def _sample_number(schema: Json, *, whole: bool) -> int | float:
    low, high = schema.get("minimum"), schema.get("maximum")
    above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    step = schema.get("multipleOf") or 1
    value: int | float = 1
    if isinstance(low, int | float) and not isinstance(low, bool):
        value = max(value, low)
    if isinstance(above, int | float) and not isinstance(above, bool):
        value = max(value, above + (1 if whole else 0.5))
    if isinstance(high, int | float):
        value = min(value, high)
    if isinstance(below, int | float) and value >= below:
        value = below - (1 if whole else 0.5)
    if isinstance(step, int) and step > 1:
        value = -(-int(value) // step) * step
    return -int(-value // 1) if whole else value


def _sample_string(schema: Json, hint: str) -> str:
    text = _FORMATS.get(str(schema.get("format") or ""), hint)
    shortest, longest = int(schema.get("minLength") or 0), schema.get("maxLength")
    text = text.ljust(shortest, "x")
    return text[: int(longest)] if isinstance(longest, int) else text


def _resolve(reference: str, root: Json) -> Any:
    found: Any = root
    for step in reference.removeprefix("#").strip("/").split("/"):
        if step:
            found = found.get(step.replace("~1", "/").replace("~0", "~"), {}) if isinstance(found, dict) else {}
    return found


def _inlined(schema: Any, root: Json) -> Any:
    return _resolve(schema["$ref"], root) if isinstance(schema, dict) and isinstance(schema.get("$ref"), str) else schema


def _merged(parts: list[Any], own: Json) -> Json:
    merged: Json = {}
    for part in (*parts, {name: value for name, value in own.items() if name != "allOf"}):
        for name, value in part.items() if isinstance(part, dict) else ():
            if name == "properties" and isinstance(value, dict):
                merged[name] = {**merged.get(name, {}), **value}
            elif name == "required" and isinstance(value, list):
                merged[name] = [*merged.get(name, []), *value]
            else:
                merged[name] = value
    return merged
