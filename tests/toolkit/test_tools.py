import asyncio
import json
from dataclasses import dataclass
from pathlib import Path

import pytest

import agentrft
from agentrft.datasets import load_items
from agentrft.toolkit.tools import as_text


@agentrft.tool
def add(a: int, b: int = 1) -> int:
    """Add."""
    return a + b


@agentrft.tool(name="fetch-page", description="Get a page.")
async def fetch(path: str, call: agentrft.Call) -> str:
    """For the reader of the code."""
    return f"{path} {call.trace_id} {call.item['key']}"


def test_a_decorated_function_can_be_called_as_before() -> None:
    assert (add(2), add(a=2, b=3), add.__name__, add.__doc__) == (3, 5, "add", "Add.")
    call = agentrft.Call(trace_id="trace_1", call_id="call_1", item={"key": "k"})
    assert asyncio.run(fetch("p", call)) == "p trace_1 k"


def test_name_and_description_can_be_given() -> None:
    assert (fetch.name, fetch.description, fetch.is_async) == ("fetch-page", "Get a page.", True)
    for name in ("no spaces", "", "x" * 65, "a/b"):
        with pytest.raises(ValueError, match="cannot be the name"):
            agentrft.tool(name=name)(lambda: "")


def test_the_call_is_given_and_not_shown_to_the_model() -> None:
    assert list(fetch.parameters["properties"]) == ["path"]
    call = agentrft.Call(trace_id="trace_1", call_id="call_1", item={"key": "k"})
    assert asyncio.run(fetch.bind('{"path": "p"}', call)()) == "p trace_1 k"
    with pytest.raises(ValueError, match="call: Extra inputs"):
        fetch.bind({"path": "p", "call": {}}, call)


def test_the_schemas_are_tools_of_a_row(tmp_path: Path) -> None:
    def plain(word: str) -> str:
        """Not decorated."""
        return word

    row = {"messages": [{"role": "user", "content": "Q?"}], "tools": agentrft.tools_schema(add, fetch, plain)}
    (tmp_path / "rows.jsonl").write_text(json.dumps(row))
    [item] = load_items(tmp_path / "rows.jsonl")
    assert [tool.name for tool in item.tools] == ["add", "fetch-page", "plain"]
    assert item.tools[0].parameters == add.parameters


def test_methods_of_an_object_can_be_tools() -> None:
    class Index:
        def look(self, word: str) -> str:
            return word.upper()

    look = agentrft.tool(Index().look)
    assert look.bind('{"word": "a"}', agentrft.Call(trace_id="", call_id=""))() == "A"


def test_what_is_returned_becomes_text() -> None:
    @dataclass
    class Hit:
        page: int

    assert as_text("as it is") == "as it is"
    assert as_text([Hit(page=3), None, 1.5, {"é": True}]) == '[{"page":3},null,1.5,{"é":true}]'
    with pytest.raises(ValueError, match="serialize"):
        as_text(object())
