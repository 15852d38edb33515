"""JSON schemas cut down to what Gemini's function declarations accept. Pure; the input is never changed."""

from typing import Any

from gateway.dialects.base import InvalidRequest, Json

_KEPT = frozenset(
    {
        "type", "title", "description", "enum", "items", "properties", "required", "minItems", "maxItems", "minimum", "maximum",
        "minLength", "maxLength", "pattern", "minProperties", "maxProperties", "anyOf", "nullable", "default", "example",
        "propertyOrdering", "format",
    }
)  # fmt: skip
_FORMATS = {"string": frozenset({"enum", "date-time"}), "number": frozenset({"float", "double"}), "integer": frozenset({"int32", "int64"})}
_DEPTH_MAX = 32  # chains of references and objects are followed this far
_UNROLLS_MAX = 2  # how often a reference is put inside itself; a tree whose nodes have several branches doubles with every level
_PARTS_MAX = 2_000  # references that fan out without a circle double too; no schema that a model reads has this many parts


class _Source:
    """The whole schema, which references point into, and what is known while it is unrolled."""

    __slots__ = ("open", "parts", "root")

    def __init__(self, root: Json) -> None:
        self.root = root
        self.parts = 0
        self.open: dict[str, int] = {}  # reference → how many of it are being unrolled now

    def count(self) -> None:
        """Count one more part. Raises: InvalidRequest when there are too many."""
        self.parts += 1
        if self.parts > _PARTS_MAX:
            raise InvalidRequest(f"A JSON schema has more than {_PARTS_MAX} parts once its references are put in place.")


def clean_schema(schema: Any) -> Json:
    """Return ``schema`` in Gemini's subset of OpenAPI.

    References are put in place, const becomes an enum, oneOf anyOf, null types ``nullable``, exclusive bounds inclusive ones (the
    next whole number for integers); everything else that is unknown goes. Raises: InvalidRequest for one that unrolls without end.
    """
    if not isinstance(schema, dict):
        return {"type": "object"}
    return _clean(schema, _Source(schema), 0)


def _clean(schema: Any, source: _Source, depth: int) -> Json:
    source.count()
    if not isinstance(schema, dict):
        return {}  # true and false schemas allow all or nothing; neither can be said
    if depth > _DEPTH_MAX:
        return {"type": "object"}
    if isinstance(schema.get("$ref"), str):
        return _clean_reference(schema, source, depth)
    schema = _merge_all_of(schema, source, depth)
    clean: Json = {name: value for name, value in schema.items() if name in _KEPT and value is not None}
    _clean_type(schema, clean)
    _clean_choices(schema, clean, source, depth)
    _clean_bounds(schema, clean)
    if isinstance(clean.get("properties"), dict):
        clean["properties"] = {name: _clean(value, source, depth + 1) for name, value in clean["properties"].items()}
    if "items" in clean:
        clean["items"] = _clean(clean["items"] if isinstance(clean["items"], dict) else {}, source, depth + 1)
    elif clean.get("type") == "array":
        clean["items"] = _clean((schema.get("prefixItems") or [{"type": "string"}])[0], source, depth + 1)
    if isinstance(clean.get("required"), list):
        known = clean.get("properties") or {}
        clean["required"] = [name for name in clean["required"] if name in known]
        if not clean["required"]:
            del clean["required"]
    return clean


def _clean_reference(schema: Json, source: _Source, depth: int) -> Json:
    reference = schema["$ref"]
    unrolls = source.open.get(reference, 0)
    if unrolls >= _UNROLLS_MAX:
        return {"type": "object"}
    rest = {name: value for name, value in schema.items() if name != "$ref"}
    source.open[reference] = unrolls + 1
    clean = _clean({**_resolve(reference, source.root), **rest}, source, depth + 1)
    source.open[reference] = unrolls
    return clean


def _merge_all_of(schema: Json, source: _Source, depth: int) -> Json:
    parts = schema.get("allOf")
    if not isinstance(parts, list):
        return schema
    merged: Json = {name: value for name, value in schema.items() if name != "allOf"}
    for part in parts:
        source.count()
        resolved = _resolve(part["$ref"], source.root) if isinstance(part, dict) and isinstance(part.get("$ref"), str) else part
        if not isinstance(resolved, dict) or depth > _DEPTH_MAX:
            continue
        for name, value in _merge_all_of(resolved, source, depth + 1).items():
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


def _clean_choices(schema: Json, clean: Json, source: _Source, depth: int) -> None:
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
        cleaned = [_clean(one, source, depth + 1) for one in real]
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
