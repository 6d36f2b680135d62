import json

import pytest

from tests.cli.conftest import Run
from tests.demo.fake_platform import FakePlatform


def test_models_are_listed(run: Run, connected: FakePlatform, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("models", "list") == 0
    assert "SmolLM2-135M-Instruct" in capsys.readouterr().out
    assert run("models", "list", "--json") == 0
    assert json.loads(capsys.readouterr().out)[0]["id"] == "SmolLM2-135M-Instruct"
