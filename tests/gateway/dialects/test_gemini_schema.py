"""Schemas that Gemini refuses become ones that it takes, without changing what was given."""

import copy

import pytest

from gateway.dialects.base import InvalidRequest
from gateway.dialects.gemini_schema import clean_schema

TEXT = {"type": "string"}


@pytest.mark.parametrize(
    ("given", "clean"),
    [
        ({"$schema": "x", "$id": "y", "type": "object", "properties": {"a": TEXT}}, {"type": "object", "properties": {"a": TEXT}}),
        ({"type": "object", "properties": {}, "additionalProperties": False}, {"type": "object", "properties": {}}),
        ({"properties": {"a": {"const": "x"}}}, {"type": "object", "properties": {"a": {"type": "string", "enum": ["x"]}}}),
        ({"type": "string", "enum": []}, TEXT),
        ({"type": "string", "enum": ["", "a", None]}, {"type": "string", "enum": ["a"], "nullable": True}),
        ({"type": "integer", "enum": [1, 2]}, {"type": "integer"}),
        ({"type": ["string", "null"]}, {"type": "string", "nullable": True}),
        ({"type": ["string", "integer"]}, {"anyOf": [{"type": "string"}, {"type": "integer"}]}),
        ({"anyOf": [TEXT, {"type": "null"}]}, {"type": "string", "nullable": True}),
        ({"oneOf": [TEXT, {"type": "integer"}]}, {"anyOf": [TEXT, {"type": "integer"}]}),
        ({"type": "integer", "exclusiveMinimum": 0, "exclusiveMaximum": 10}, {"type": "integer", "minimum": 1, "maximum": 9}),
        ({"type": "number", "exclusiveMinimum": 0}, {"type": "number", "minimum": 0}),
        ({"type": "string", "format": "uri"}, TEXT),
        ({"type": "string", "format": "date-time"}, {"type": "string", "format": "date-time"}),
        ({"type": "array"}, {"type": "array", "items": TEXT}),
        ({"type": "array", "items": True}, {"type": "array", "items": {}}),
        (
            {"type": "object", "properties": {"a": TEXT}, "required": ["a", "b"]},
            {"type": "object", "properties": {"a": TEXT}, "required": ["a"]},
        ),
        ({"type": "object", "properties": {"a": TEXT}, "required": ["b"]}, {"type": "object", "properties": {"a": TEXT}}),
        (
            {"$defs": {"T": TEXT}, "type": "object", "properties": {"a": {"$ref": "#/$defs/T", "description": "d"}}},
            {"type": "object", "properties": {"a": {"type": "string", "description": "d"}}},
        ),
        (
            {"allOf": [{"properties": {"a": TEXT}, "required": ["a"]}, {"properties": {"b": TEXT}}], "type": "object"},
            {"type": "object", "properties": {"a": TEXT, "b": TEXT}, "required": ["a"]},
        ),
        ({"type": "object", "properties": {"$ref": TEXT, "const": TEXT}}, {"type": "object", "properties": {"$ref": TEXT, "const": TEXT}}),
        (True, {"type": "object"}),
    ],
)
def test_schemas_are_cut_to_the_subset(given, clean):
    before = copy.deepcopy(given)
    assert clean_schema(given) == clean
    assert given == before


def test_a_recursive_schema_ends():
    tree = {"$defs": {"N": {"type": "object", "properties": {"left": {"$ref": "#/$defs/N"}}}}, "$ref": "#/$defs/N"}
    cleaned = clean_schema(tree)
    depth = 0
    while cleaned.get("properties"):
        cleaned, depth = cleaned["properties"]["left"], depth + 1
    assert 1 <= depth < 40


def test_a_tree_whose_nodes_have_several_branches_is_unrolled_twice_and_no_further():
    node = {"type": "object", "properties": {name: {"$ref": "#/$defs/N"} for name in "abcdefgh"}}

    cleaned = clean_schema({"$defs": {"N": node}, "$ref": "#/$defs/N"})

    inner = cleaned["properties"]["a"]
    assert inner["properties"]["h"] == {"type": "object"}


@pytest.mark.parametrize(
    "level",
    [
        lambda below: {"anyOf": [below, below, below]},
        lambda below: {"type": "object", "properties": {"a": below, "b": below, "c": below}},
        lambda below: {"allOf": [below, below, below]},
    ],
    ids=["anyOf", "properties", "allOf"],
)
def test_references_that_fan_out_without_a_circle_are_refused_before_they_eat_the_process(level):
    bomb = {"$defs": {f"L{number}": level({"$ref": f"#/$defs/L{number + 1}"}) for number in range(14)}, "$ref": "#/$defs/L0"}
    bomb["$defs"]["L14"] = TEXT

    with pytest.raises(InvalidRequest, match="parts"):
        clean_schema(bomb)
