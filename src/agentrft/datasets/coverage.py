"""Tools are described in the rows and served by the job: the two must name the same ones."""

from collections.abc import Collection, Iterable, Sequence

from agentrft.domain.episode import Item
from agentrft.domain.errors import UserError


def check_tools(
    items: Iterable[Item],
    endpoint_names: Sequence[str],
    *,
    param: str = "method.reinforcement.tools",
    unused: bool = True,
    mcp_tools: Collection[str] | None = (),
) -> None:
    """Refuse a job whose rows offer a tool that it does not serve, or that serves a tool no row offers.

    Args:
        endpoint_names: the names in `param`, in its order.
        unused: whether a tool that no row offers is an error; false for a validation file, which may need fewer.
        mcp_tools: the names that MCP servers serve, of which rows may offer any; None: not known yet, so that no tool
            can be called missing.

    Raises:
        UserError: naming the tool, and the first example that offers it.
    """
    served = frozenset(endpoint_names).union(mcp_tools or ())
    offered: set[str] = set()
    for item in items:
        names = [tool.name for tool in item.tools]
        missing = next((name for name in names if name not in served and mcp_tools is not None), None)
        if missing is not None:
            text = (
                f"Example {item.index + 1} offers the tool '{missing}', which has no server_url in {param}"
                f"{' and is served by no MCP server' if mcp_tools else ''}; add it there or take it out of the row."
            )
            raise UserError(text, param=param, code="missing_tool")
        offered.update(names)
    for index, name in enumerate(endpoint_names):
        if unused and name not in offered:
            text = f"No example offers the tool '{name}'; describe it in the rows' 'tools' or take it out of {param}."
            raise UserError(text, param=f"{param}[{index}].name", code="unused_tool")
