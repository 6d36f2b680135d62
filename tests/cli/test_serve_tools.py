import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

from agentrft.demo.processes import free_port
from tests.cli.conftest import Run

SOURCE = """
import agentrft

@agentrft.tool
def add(a: int, b: int) -> int:
    return a + b

@agentrft.grader
def exact(sample, item):
    return 1.0
"""
CALL = {"type": "function_call", "call_id": "call_1", "id": "fc_1", "name": "add", "arguments": '{"a": 1, "b": 2}'}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "my_tools.py"
    path.write_text(SOURCE)
    return path


@contextmanager
def served(source: Path, *options: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "agentrft.cli", "serve-tools", str(source), "--port", "0", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, **environment}) as process:
        try:
            yield process
        finally:
            process.send_signal(signal.SIGINT)
            assert process.wait(20) == 130


def test_functions_of_a_file_are_served_with_all_that_a_job_needs(source: Path) -> None:
    with served(source, "--json") as process:
        told = json.loads(process.stdout.readline())
        [tool], [grader] = told["tools"], told["graders"]
        reply = httpx2.post(tool["server_url"], headers=tool["headers"], json=CALL)
        assert reply.json() == {"type": "function_call_output", "call_id": "call_1", "id": "fc_1", "output": "3"}
        assert (grader["type"], grader["name"]) == ("endpoint", "exact")
        body = {"sample": {}, "item": {}}
        assert httpx2.post(grader["url"], headers=grader["headers"], json=body).json() == {"score": 1.0}
        assert httpx2.post(tool["server_url"], json=CALL).status_code == 401
    assert [schema["function"]["name"] for schema in told["schemas"]] == ["add"]


def test_a_token_of_the_environment_is_asked_for_and_not_printed(source: Path) -> None:
    with served(source, AGENTRFT_TOOLS_TOKEN="from-outside") as process:
        lines = [process.stdout.readline() for _ in range(5)]
        url = lines[0].split()[1]
        assert httpx2.post(url, headers={"Authorization": "Bearer from-outside"}, json=CALL).status_code == 200
    assert "from-outside" not in "".join(lines)


def test_nothing_to_serve_and_a_port_in_use_are_told(
    run: Run, source: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("serve-tools", "nowhere.py") == 2
    assert "there is no file nowhere.py" in capsys.readouterr().err
    with socket.create_server(("127.0.0.1", free_port())) as taken:
        assert run("serve-tools", str(source), "--port", str(taken.getsockname()[1])) == 2
    assert "choose another" in capsys.readouterr().err
