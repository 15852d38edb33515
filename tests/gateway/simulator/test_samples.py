"""Values made from schemas are valid against them."""

import pytest

from gateway.simulator.profiles import profile_of
from gateway.simulator.samples import sample_value
from gateway.simulator.tokens import count_tokens, cut_to_tokens, split_to_chunks


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "string"}, "simulated"),
        ({"type": "string", "minLength": 12}, "simulatedxxx"),
        ({"type": "string", "maxLength": 3}, "sim"),
        ({"type": "string", "format": "date"}, "2026-01-01"),
        ({"enum": ["b", "a"]}, "b"),
        ({"const": 7}, 7),
        ({"type": "integer", "minimum": 5}, 5),
        ({"type": "integer", "exclusiveMinimum": 5}, 6),
        ({"type": "integer", "maximum": -3}, -3),
        ({"type": "integer", "minimum": 2, "multipleOf": 5}, 5),
        ({"type": "number", "exclusiveMaximum": 1}, 0.5),
        ({"type": "boolean"}, True),
        ({"type": "null"}, None),
        ({"type": ["null", "integer"]}, 1),
        ({"anyOf": [{"type": "null"}, {"type": "boolean"}]}, True),
        ({"type": "array", "items": {"type": "integer"}, "minItems": 2}, [1, 1]),
        ({"type": "array", "items": {"type": "integer"}, "maxItems": 0}, []),
        ({"type": "array", "prefixItems": [{"type": "integer"}, {"type": "boolean"}], "minItems": 2}, [1, True]),
        (
            {
                "type": "object",
                "properties": {"a": {"type": "object", "properties": {"b": {}, "c": {"type": "integer"}}, "required": ["c"]}},
            },
            {"a": {"c": 1}},
        ),
        ({"$ref": "#/$defs/T", "$defs": {"T": {"type": "integer"}}}, 1),
        (
            {"allOf": [{"properties": {"a": {"type": "integer"}}}, {"properties": {"b": {"type": "integer"}}}], "type": "object"},
            {"a": 1, "b": 1},
        ),
        ({"type": "OBJECT", "properties": {"a": {"type": "STRING"}}}, {"a": "simulated"}),
        ({}, "simulated"),
    ],
)
def test_values_fit_their_schemas(schema, value):
    assert sample_value(schema) == value


def test_a_recursive_schema_ends():
    node = {"type": "object", "properties": {"next": {"$ref": "#"}}, "required": ["next"]}
    assert isinstance(sample_value(node), dict)


@pytest.mark.parametrize(("text", "tokens"), [("", 0), ("a", 1), ("abcd", 1), ("abcde", 2), ("žžž", 2), ("🐎", 1)])
def test_a_token_is_four_bytes_rounded_up(text, tokens):
    assert count_tokens(text) == tokens


def test_cutting_never_breaks_a_character():
    assert cut_to_tokens("abcžž", 1) == "abc"
    assert cut_to_tokens("abc", 5) == "abc"


def test_pieces_of_a_text_join_to_it():
    text = "  two  spaces and 漢字 "
    assert "".join(split_to_chunks(text)) == text


def test_providers_differ_in_speed_and_each_stays_the_same():
    assert profile_of("openai") != profile_of("groq")
    unlisted = [profile_of(f"host-{number}") for number in range(20)]
    assert unlisted == [profile_of(f"host-{number}") for number in range(20)]
    assert len(set(unlisted)) > 10
    assert all(8 <= one.first_token_ms < 48 and 2_000 <= one.tokens_per_s < 8_000 for one in unlisted)
