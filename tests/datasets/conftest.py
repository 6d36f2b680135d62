import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

SEARCH = {
    "type": "function",
    "function": {
        "name": "search",
        "description": "Find pages.",
        "parameters": {"type": "object", "properties": {"query": {"type": "string"}}, "required": ["query"]},
    },
}


@pytest.fixture
def write_rows(tmp_path: Path) -> Callable[..., Path]:
    """A JSONL file of rows; bytes and strings are written as they are."""

    def write(*rows: Any) -> Path:
        lines = [
            row if isinstance(row, bytes) else (row if isinstance(row, str) else json.dumps(row)).encode()
            for row in rows
        ]
        path = tmp_path / "rows.jsonl"
        path.write_bytes(b"\n".join(lines))
        return path

    return write


@pytest.fixture
def search_tool() -> dict[str, Any]:
    return SEARCH


@pytest.fixture
def ask_row() -> Callable[..., dict[str, Any]]:
    """A reinforcement row."""

    def make(**fields: Any) -> dict[str, Any]:
        return {"messages": [{"role": "user", "content": "Q?"}], **fields}

    return make


def call(call_id: str = "call_1", name: str = "search", arguments: Any = '{"query": "x"}') -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


@pytest.fixture
def make_tool_call() -> Callable[..., dict[str, Any]]:
    return call


@pytest.fixture
def shown_row() -> Callable[..., dict[str, Any]]:
    """A supervised row with one tool call."""

    def make(**fields: Any) -> dict[str, Any]:
        messages = [
            {"role": "system", "content": "Answer with a number."},
            {"role": "user", "content": "Q?"},
            {"role": "assistant", "content": None, "tool_calls": [call()]},
            {"role": "tool", "tool_call_id": "call_1", "content": "94"},
            {"role": "assistant", "content": "94", "reasoning_content": "It says 94."},
        ]
        return {"messages": messages, "tools": [SEARCH], **fields}

    return make
