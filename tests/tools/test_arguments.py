import pytest

from agentrft.domain.episode import ToolCall, ToolSpec
from agentrft.tools.arguments import find_problem, read_arguments


def call(arguments: str) -> ToolCall:
    return ToolCall(call_id="call_1", name="t", arguments=arguments)


def test_a_tool_without_a_schema_takes_any_object() -> None:
    assert find_problem(call('{"anything": [1, 2]}'), [ToolSpec(name="t")]) is None


def test_the_path_of_a_nested_mistake_is_named() -> None:
    schema = {"type": "object", "properties": {"rows": {"type": "array", "items": {"type": "integer"}}}}
    problem = find_problem(call('{"rows": [1, "two"]}'), [ToolSpec(name="t", parameters=schema)])
    assert problem == "t: argument rows[1]: 'two' is not of type 'integer'"


def test_references_inside_a_schema_are_followed() -> None:
    schema = {"$defs": {"n": {"type": "integer"}}, "properties": {"a": {"$ref": "#/$defs/n"}}}
    tool = ToolSpec(name="t", parameters=schema)
    assert find_problem(call('{"a": 1}'), [tool]) is None
    assert find_problem(call('{"a": "x"}'), [tool]) is not None


def test_a_tool_less_row_says_that_there_are_no_tools() -> None:
    assert find_problem(call("{}"), []) == "there is no tool 't'; the tools are: none"


@pytest.mark.parametrize("text", ["", "null", "1", '"x"', "[]", "{", "{'a': 1}", '{"a": Infinity}'])
def test_what_is_no_json_object_is_described(text) -> None:
    assert isinstance(read_arguments(text), str)


def test_an_object_is_read() -> None:
    assert read_arguments('{"a": {"b": 1.5}}') == {"a": {"b": 1.5}}
