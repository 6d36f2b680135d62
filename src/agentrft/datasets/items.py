"""Reinforcement rows -> Items. Every key but `messages` and `tools` is the user's own and reaches graders untouched."""

from pathlib import Path
from typing import Any

from agentrft.datasets.messages import read_messages
from agentrft.datasets.rows import Row, read_rows
from agentrft.datasets.tool_schemas import ToolReader, normalise_tools
from agentrft.domain.episode import Item


def load_items(path: Path | str, *, param: str = "training_file") -> list[Item]:
    """The items of a reinforcement file.

    Args:
        param: the request's field that named the file, for errors: `training_file` or `validation_file`.

    Raises:
        UserError: naming the first example that cannot be used, and why.
    """
    tools = ToolReader()
    return [_read_item(row, tools) for row in read_rows(Path(path), param=param)]


def read_parallel_tool_calls(row: Row) -> bool:
    """Whether the model may make several calls in one turn; true unless the row says otherwise."""
    value = row.value.get("parallel_tool_calls")
    if not isinstance(value, bool | None):
        row.refuse("has a 'parallel_tool_calls' that is not a boolean")
    return value is not False


def _read_item(row: Row, tools: ToolReader) -> Item:
    specs = tools.read(row)
    messages = read_messages(row, specs)
    if messages[-1].role != "user":
        row.refuse(f", message {len(messages)} has the role '{messages[-1].role}'; the last message must be 'user'")
    parallel = read_parallel_tool_calls(row)
    return Item(
        index=row.index,
        messages=messages,
        tools=specs,
        parallel_tool_calls=parallel,
        row=_normalise(row, parallel=parallel),
    )


def _normalise(row: Row, *, parallel: bool) -> dict[str, Any]:
    """The row as graders and tools receive it (API reference, section 1.3)."""
    return {
        **row.value,
        "messages": [{"name": None, **message} for message in row.value["messages"]],
        "tools": normalise_tools(row.value.get("tools")),
        "parallel_tool_calls": parallel,
    }
