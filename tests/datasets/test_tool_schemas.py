import pytest

from agentrft.datasets import load_items
from agentrft.domain.errors import UserError


def refuse(write_rows, row) -> str:
    with pytest.raises(UserError) as caught:
        load_items(write_rows(row))
    return caught.value.message.removeprefix("Invalid file format. Example 1")


def test_a_tool_needs_no_more_than_a_name(write_rows, ask_row) -> None:
    [item] = load_items(write_rows(ask_row(tools=[{"type": "function", "function": {"name": "now"}}])))
    assert item.tools[0].parameters == {"type": "object", "properties": {}}
    assert item.row["tools"] == [{"type": "function", "function": {"name": "now", "strict": False}}]


@pytest.mark.parametrize(
    ("tool", "said"),
    [
        ("search", "is not of the form"),
        ({"type": "function", "name": "search", "parameters": {}}, "is not of the form"),
        ({"function": {"name": "search"}}, "is not of the form"),
        ({"type": "function", "function": {"name": "search me"}}, "needs a 'function.name'"),
        ({"type": "function", "function": {}}, "needs a 'function.name'"),
        ({"type": "function", "function": {"name": "a", "description": 1}}, "'function.description'"),
        ({"type": "function", "function": {"name": "a", "strict": "yes"}}, "'function.strict'"),
        ({"type": "function", "function": {"name": "a", "paramters": {}}}, 'contains an extra "paramters"'),
        ({"type": "function", "function": {"name": "a"}, "url": "x"}, 'contains an extra "url"'),
    ],
)
def test_a_tool_of_the_wrong_form_is_named_by_number(write_rows, ask_row, search_tool, tool, said) -> None:
    text = refuse(write_rows, ask_row(tools=[search_tool, tool]))
    assert text.startswith(", tool 2 ")
    assert said in text


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ("query", 'are not a JSON schema of type "object"'),
        ({"type": "string"}, 'are not a JSON schema of type "object"'),
        ({"type": "object", "properties": {"q": {"type": "strng"}}}, "are not a valid JSON schema: $.properties.q"),
        ({"properties": {"q": {"$ref": "https://example.com/s.json"}}}, "refer to another document: https://example"),
    ],
)
def test_parameters_must_be_a_schema_that_stands_alone(write_rows, ask_row, parameters, said) -> None:
    tool = {"type": "function", "function": {"name": "a", "parameters": parameters}}
    assert said in refuse(write_rows, ask_row(tools=[tool]))


def test_two_tools_of_one_name_are_refused(write_rows, ask_row, search_tool) -> None:
    assert refuse(write_rows, ask_row(tools=[search_tool, search_tool])) == " has two tools named 'search'"


def test_tools_must_be_a_list(write_rows, ask_row, search_tool) -> None:
    assert refuse(write_rows, ask_row(tools=search_tool)) == " has 'tools' that are not a list"
