"""Supervised rows -> Demonstrations: whole conversations, tool calls and their results included."""

from dataclasses import dataclass
from pathlib import Path

from agentrft.datasets.items import read_parallel_tool_calls
from agentrft.datasets.messages import read_messages
from agentrft.datasets.rows import Row, read_rows
from agentrft.datasets.tool_schemas import ToolReader
from agentrft.domain.episode import Message, ToolSpec

_KEYS = frozenset({"messages", "tools", "parallel_tool_calls"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Demonstration:
    """One conversation to learn from; only its assistant messages carry loss."""

    index: int  # position in its file, from 0
    messages: tuple[Message, ...]
    tools: tuple[ToolSpec, ...] = ()
    parallel_tool_calls: bool = True


def load_demonstrations(path: Path | str, *, param: str = "training_file") -> list[Demonstration]:
    """The conversations of a supervised file.

    Args:
        param: the request's field that named the file, for errors: `training_file` or `validation_file`.

    Raises:
        UserError: naming the first example that cannot be used, and why.
    """
    tools = ToolReader()
    return [_read_demonstration(row, tools) for row in read_rows(Path(path), param=param)]


def _read_demonstration(row: Row, tools: ToolReader) -> Demonstration:
    extra = next((key for key in row.value if key not in _KEYS), None)
    if extra is not None:
        row.refuse(f'contains an extra "{extra}".')
    specs = tools.read(row)
    messages = read_messages(row, specs)
    if not any(message.role == "assistant" for message in messages):
        row.refuse(', key "messages": At least one message must be from the assistant.')
    return Demonstration(
        index=row.index, messages=messages, tools=specs, parallel_tool_calls=read_parallel_tool_calls(row)
    )
