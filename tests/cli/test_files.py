import json
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.demo.fake_platform import FakePlatform

Capture = pytest.CaptureFixture[str]


def test_a_file_is_uploaded_listed_and_deleted(
    run: Run, connected: FakePlatform, tmp_path: Path, capsys: Capture
) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"messages": []}\n')
    assert run("files", "upload", str(rows)) == 0
    assert capsys.readouterr().out == "file-1\n"
    assert connected.files["file-1"] == rows.read_bytes()
    assert run("files", "list") == 0
    assert "fine-tune" in capsys.readouterr().out.splitlines()[1]
    assert run("files", "delete", "file-1") == 0
    assert capsys.readouterr().out == "file-1 deleted\n"
    assert run("files", "list") == 0
    assert capsys.readouterr().out == "There are no files yet.\n"


def test_every_answer_is_json_on_request(run: Run, connected: FakePlatform, tmp_path: Path, capsys: Capture) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text("{}\n")
    assert run("files", "upload", str(rows), "--purpose", "evals", "--json") == 0
    assert json.loads(capsys.readouterr().out)["purpose"] == "evals"
    assert run("files", "list", "--json") == 0
    assert [file["id"] for file in json.loads(capsys.readouterr().out)] == ["file-1"]
    assert run("files", "delete", "file-1", "--json") == 0
    assert json.loads(capsys.readouterr().out)["deleted"] is True


def test_a_file_that_is_not_there_is_refused_before_anything_is_sent(
    run: Run, connected: FakePlatform, capsys: Capture
) -> None:
    assert run("files", "upload", "nowhere.jsonl") == 2
    assert "does not exist" in capsys.readouterr().err


def test_a_file_that_the_server_does_not_know_is_told(run: Run, connected: FakePlatform, capsys: Capture) -> None:
    assert run("files", "delete", "file-9") == 1
    assert "No such File object: file-9" in capsys.readouterr().err
