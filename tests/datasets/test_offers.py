import pytest

from agentrft.datasets import load_items, offer_tools
from agentrft.domain.episode import ToolSpec
from agentrft.domain.errors import UserError

CAT = ToolSpec(name="cat", description="Read.", parameters={"type": "object", "properties": {}})


def test_rows_without_tools_are_offered_what_is_listed(write_rows, ask_row, search_tool) -> None:
    rows = write_rows(ask_row(), ask_row(tools=None), ask_row(tools=[search_tool]), ask_row(tools=[]))
    items = offer_tools(load_items(rows), [CAT], param="p")
    assert [[tool.name for tool in item.tools] for item in items] == [["cat"], ["cat"], ["search"], []]
    as_graders_see_it = [{"type": "function", "function": {
        "name": "cat", "description": "Read.", "parameters": CAT.parameters, "strict": False,
    }}]  # fmt: skip
    assert items[0].row["tools"] == as_graders_see_it
    assert items[3].row["tools"] == []


def test_without_listed_tools_rows_stay_as_they_are(write_rows, ask_row) -> None:
    items = load_items(write_rows(ask_row()))
    assert offer_tools(items, [], param="p") == items


@pytest.mark.parametrize(
    ("tool", "words"),
    [
        (ToolSpec(name="files.read"), "letters, digits"),
        (ToolSpec(name="cat", parameters={"type": "object", "properties": 3}), "not a valid JSON schema"),
    ],
)
def test_a_listed_tool_that_no_row_could_name_is_refused(tool: ToolSpec, words: str) -> None:
    with pytest.raises(UserError, match=words) as refused:
        offer_tools([], [tool], param="p")
    assert (refused.value.param, refused.value.code) == ("p", "invalid_tool")
