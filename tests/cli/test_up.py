import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from openai import OpenAI

from agentrft.demo.processes import free_port

pytestmark = pytest.mark.slow
COMMAND = [sys.executable, "-c", "from agentrft.cli import main; main()", "up", "--json"]


def test_the_platform_comes_up_takes_its_key_and_ends_cleanly(tmp_path: Path) -> None:
    port = str(free_port())
    command = [*COMMAND, "--data-dir", str(tmp_path), "--port", port]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        told = json.loads(process.stdout.readline() or "{}")
        with OpenAI(base_url=told["api_url"], api_key=told["api_key"]) as client:
            assert isinstance(list(client.models.list()), list)
        second = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert second.returncode == 1
        assert f"process {process.pid}" in second.stderr
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait(60) == 130
