"""Rows that bring no tool schemas of their own are offered the tools that the job's servers list."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from agentrft.datasets.tool_schemas import find_tool_problem
from agentrft.domain.episode import Item, ToolSpec
from agentrft.domain.errors import UserError


def offer_tools(items: Iterable[Item], tools: Sequence[ToolSpec], *, param: str) -> list[Item]:
    """`items`, where those without `tools` in their row get these; a row with tools, or with `[]`, decides for itself.

    Args:
        param: the request's field that brought the tools, for errors.

    Raises:
        UserError: a tool could not stand in a row: its name, or its schema.
    """
    for tool in tools:
        problem = find_tool_problem(tool.name, tool.parameters)
        if problem is not None:
            text = f"The tool '{tool.name}' cannot be offered: it {problem}. Leave it out with 'allowed_tools'."
            raise UserError(text, param=param, code="invalid_tool")
    if not tools:
        return list(items)
    specs, raws = tuple(tools), [_as_row_tool(tool) for tool in tools]
    return [item if item.row["tools"] is not None else _offer(item, specs, raws) for item in items]


def _offer(item: Item, specs: tuple[ToolSpec, ...], raws: list[dict[str, Any]]) -> Item:
    return replace(item, tools=specs, row={**item.row, "tools": raws})


def _as_row_tool(tool: ToolSpec) -> dict[str, Any]:
    """In the normalised form in which graders receive the tools of a row."""
    function = {"name": tool.name, "description": tool.description, "parameters": tool.parameters, "strict": False}
    return {"type": "function", "function": function}
