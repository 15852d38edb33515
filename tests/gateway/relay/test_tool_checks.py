import pytest

from gateway.relay.tool_checks import find_fault, schemas_of

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "weather",
            "parameters": {
                "type": "object",
                "properties": {
                    "city": {"type": "string"},
                    "days": {"type": "integer"},
                    "units": {"type": ["string", "null"]},
                    "exact": {"type": "boolean"},
                },
                "required": ["city"],
                "additionalProperties": False,
            },
        },
    },
    {"type": "function", "function": {"name": "ping"}},
]


@pytest.mark.parametrize(
    ("name", "arguments", "fault"),
    [
        ("weather", '{"city": "Oslo"}', ""),
        ("weather", '{"city": "Oslo", "days": 3.0, "units": null}', ""),
        ("ping", "", ""),
        ("ping", '{"anything": 1}', ""),
        ("rain", "{}", "UnknownName"),
        ("weather", '{"city": ', "InvalidJson"),
        ("weather", '["Oslo"]', "InvalidJson"),
        ("weather", "{}", "SchemaMismatch"),
        ("weather", '{"city": 7}', "SchemaMismatch"),
        ("weather", '{"city": "Oslo", "days": "3"}', "SchemaMismatch"),
        ("weather", '{"city": "Oslo", "days": true}', "SchemaMismatch"),
        ("weather", '{"city": "Oslo", "exact": 1}', "SchemaMismatch"),
        ("weather", '{"city": "Oslo", "day": 3}', "SchemaMismatch"),
    ],
)
def test_a_call_is_judged_by_json_name_and_schema(name, arguments, fault):
    assert find_fault([(name, arguments)], schemas_of(TOOLS)) == fault


def test_one_bad_call_among_good_ones_is_found():
    assert find_fault([("ping", ""), ("weather", "{}")], schemas_of(TOOLS)) == "SchemaMismatch"


@pytest.mark.parametrize("tools", [None, "tools", [None, {}, {"function": 1}, {"function": {"name": 1}}]])
def test_tools_that_make_no_sense_offer_nothing(tools):
    assert schemas_of(tools) == {}


def test_a_schema_that_makes_no_sense_fits_everything():
    tools = [{"function": {"name": "f", "parameters": {"properties": 3, "required": "x", "type": "object"}}}]
    assert find_fault([("f", '{"a": 1}')], schemas_of(tools)) == ""
