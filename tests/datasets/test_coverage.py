import pytest

from agentrft.datasets import check_tools
from agentrft.domain.episode import Item, Message, ToolSpec
from agentrft.domain.errors import UserError


def item(index: int, *names: str) -> Item:
    tools = tuple(ToolSpec(name=name) for name in names)
    return Item(index=index, messages=(Message(role="user", content="Q?"),), tools=tools)


def refuse(*args, **kwargs) -> UserError:
    with pytest.raises(UserError) as caught:
        check_tools(*args, **kwargs)
    return caught.value


def test_tools_that_match_are_accepted() -> None:
    check_tools([item(0, "search"), item(1, "search", "cat"), item(2)], ["cat", "search"])


def test_a_tool_of_the_data_without_an_endpoint_is_refused() -> None:
    error = refuse([item(0, "search"), item(1, "search", "cat")], ["search"])
    assert error.message.startswith("Example 2 offers the tool 'cat', which has no server_url in method.reinforcement")
    assert error.param == "method.reinforcement.tools"


def test_an_endpoint_that_no_row_uses_is_refused() -> None:
    error = refuse([item(0, "search")], ["search", "cat"])
    assert error.message.startswith("No example offers the tool 'cat'")
    assert error.param == "method.reinforcement.tools[1].name"


def test_tools_of_mcp_servers_count_as_served_and_need_not_be_used() -> None:
    check_tools([item(0, "search", "cat")], ["search"], mcp_tools=["cat", "grep"])
    error = refuse([item(0, "search", "cat")], ["search"], mcp_tools=["grep"])
    assert "served by no MCP server" in error.message


def test_while_servers_have_not_been_asked_no_tool_is_called_missing() -> None:
    check_tools([item(0, "search", "cat")], ["search"], mcp_tools=None)
    assert refuse([item(0, "cat")], ["search"], mcp_tools=None).code == "unused_tool"


def test_a_validation_file_may_use_fewer_tools() -> None:
    check_tools([item(0, "search")], ["search", "cat"], unused=False)
