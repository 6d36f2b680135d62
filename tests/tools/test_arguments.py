import pytest

from agentrft.domain.episode import ToolCall, ToolSpec
from agentrft.tools.arguments import find_problem, read_arguments

DEEP = "t: the text of the arguments is nested too deeply: at most 64 levels are read"


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


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ('{"query": "a", "top_k": "three"}', "t: argument top_k: 'three' is not of type 'integer'"),
        ('{"top_k": 3}', "t: 'query' is a required property"),
        ('{"query": "a", "page": 1}', "t: Additional properties are not allowed ('page' was unexpected)"),
        ('{"query": "a", "query": "b"}', "t: the text of the arguments has the key 'query' twice"),
        ('{"query": "a", "top_k": 1e999}', "t: the text of the arguments has a number that is too large: 1e999"),
        ('{"query": "a"', "t: the text of the arguments is not valid JSON: Expecting ',' delimiter at character 13"),
        (
            '{"query": ' + "[" * 70 + "]" * 70 + "}",
            DEEP,
        ),
        ('{"query": "' + "x" * 9 + '", "top_k": ' + "1" * 200 + "}", None),
    ],
)
def test_the_message_says_what_to_do_better(arguments: str, said: str | None) -> None:
    schema = {
        "type": "object",
        "properties": {"query": {"type": "string"}, "top_k": {"type": "integer"}},
        "required": ["query"],
        "additionalProperties": False,
    }
    assert find_problem(call(arguments), [ToolSpec(name="t", parameters=schema)]) == said


def test_deep_arguments_of_a_recursive_schema_are_checked_without_running_out_of_stack() -> None:
    tree = {"type": "object", "properties": {"next": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}}}
    arguments = '{"next":' * 60 + "7" + "}" * 60
    problem = find_problem(call(arguments), [ToolSpec(name="t", parameters=tree)])
    assert problem is not None
    assert len(problem) < 1000


@pytest.mark.parametrize("text", ["", "null", "1", '"x"', "[]", "{", "{'a': 1}", '{"a": Infinity}'])
def test_what_is_no_json_object_is_described(text) -> None:
    assert isinstance(read_arguments(text), str)


def test_an_object_is_read() -> None:
    assert read_arguments('{"a": {"b": 1.5}}') == {"a": {"b": 1.5}}
