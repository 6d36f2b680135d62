import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from agentrft.datasets import check_tools, load_items
from agentrft.toolkit import Call
from agentrft.toolkit.loading import load_functions
from agentrft.wire.job_request import JobSpec, read_job_request
from tests.wire.test_job_request import body

TEXT = (Path(__file__).parents[2] / "docs" / "tools.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)


def read(settings: dict[str, Any]) -> JobSpec:
    return read_job_request(body(**settings))


def test_the_jobs_on_the_page_are_accepted() -> None:
    http, mcp = (read(json.loads(block)) for block in blocks("json"))
    assert http.tools == ("search",)
    assert [server.name for server in mcp.mcp_servers] == ["reports", "files"]


def test_the_functions_on_the_page_can_be_served_and_put_into_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    module, rows = blocks("python")
    (tmp_path / "my_tools.py").write_text(module)
    functions = load_functions("my_tools.py")
    exec(rows, {})
    del sys.modules["my_tools"]
    items = load_items(tmp_path / "train.jsonl")
    check_tools(items, list(functions.tools))
    call = Call(trace_id="trace_1", call_id="call_1")
    assert functions.tools["read"].bind('{"year": "2015"}', call)() == "Net revenue rose by 94 million."
    with pytest.raises(ValueError, match="there is no page for 1999"):
        functions.tools["read"].bind('{"year": "1999"}', call)()
    assert functions.graders["exact"].bind({"output_text": "94"}, items[0].row, "trace_1")() == 1.0
