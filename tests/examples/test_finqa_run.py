import importlib.util
from pathlib import Path

import pytest

from agentrft.demo.jobs import tool_endpoints
from agentrft.wire.job_request import read_job_request

RUN = Path(__file__).parents[2] / "examples" / "finqa" / "run.py"


@pytest.fixture(scope="module")
def script():  # type: ignore[no-untyped-def]
    specification = importlib.util.spec_from_file_location("finqa_run", RUN)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def test_the_platform_takes_the_job(script, data: Path) -> None:  # type: ignore[no-untyped-def]
    options = script.arguments(["--data", str(data), "--steps", "2", "--items", "5"])
    method = script.method(options, tool_endpoints("http://tools", ("search", "list", "cat"), token="t"))
    files = {"model": "m", "training_file": "file-1", "validation_file": "file-2"}
    spec = read_job_request({**files, "method": {"type": "reinforcement", "reinforcement": method}})
    assert spec.tools == ("search", "list", "cat")


def test_a_folder_without_data_is_told_before_anything_starts(  # type: ignore[no-untyped-def]
    script, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert script.main(["--data", str(tmp_path), "--data-dir", str(tmp_path / "state")]) == 1
    assert "--data" in capsys.readouterr().err
    assert not (tmp_path / "state").exists()
