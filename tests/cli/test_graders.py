import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.cli.saved_platform import SavedPlatform, saved_platform
from tests.server.conftest import API_KEY, GRADER

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SavedPlatform]:
    with saved_platform(tmp_path) as platform:
        monkeypatch.setenv("AGENTRFT_URL", platform.url)
        monkeypatch.setenv("AGENTRFT_API_KEY", API_KEY)
        yield platform


@pytest.fixture
def lenient(tmp_path: Path) -> str:
    path = tmp_path / "lenient.json"
    path.write_text(json.dumps({**GRADER, "name": "lenient", "operation": "like"}))
    return str(path)


def test_a_grader_is_checked_and_the_verdict_is_the_exit_status(
    run: Run, saved: SavedPlatform, lenient: str, capsys: Capture
) -> None:
    assert run("graders", "check", "--job", saved.job_id) == 0
    shown = capsys.readouterr().out
    assert "exact: fine." in shown
    assert "Graded twice, 8 episodes earned the same." in shown
    lines = {line.split("  ")[0]: line.split() for line in shown.splitlines()}
    assert lines["real episodes"][2:4] == ["12", "0.500"]
    assert "paid, as it should be" in shown
    assert run("graders", "check", lenient, "--job", saved.job_id, "--json") == 3
    assert json.loads(capsys.readouterr().out)["verdict"] == "suspicious"
    assert run("graders", "check", lenient, "--file", saved.file_id) == 4
    assert "lenient: hackable." in capsys.readouterr().out


def test_what_is_wrong_is_told_before_anything_is_graded(
    run: Run, saved: SavedPlatform, tmp_path: Path, capsys: Capture
) -> None:
    assert run("graders", "check") == 2
    assert run("graders", "check", "--job", "ftjob-none") == 1
    assert "Could not find fine tune" in capsys.readouterr().err
    bad = tmp_path / "bad.json"
    bad.write_text("[1")
    assert run("graders", "check", str(bad), "--job", saved.job_id) == 2
    bad.write_text("[1]")
    assert run("graders", "check", str(bad), "--job", saved.job_id) == 2


def test_a_job_is_graded_anew_in_a_table_in_json_and_in_a_file(
    run: Run, saved: SavedPlatform, lenient: str, tmp_path: Path, capsys: Capture
) -> None:
    out = tmp_path / "episodes.jsonl"
    assert run("regrade", saved.job_id, "--grader", lenient, "--out", str(out)) == 0
    shown = capsys.readouterr().out
    total = next(line for line in shown.splitlines() if line.startswith("all"))
    assert total.split() == ["all", "26", "0", "0.500", "1.000", "50%", "-", "+0", "-12", "of", "12"]
    assert "Moved most:" in shown
    episodes = [json.loads(line) for line in out.read_text().splitlines()]
    assert (len(episodes), {each["new"] for each in episodes}) == (26, {0.0, 1.0})
    assert run("regrade", saved.job_id, "--grader", lenient, "--split", "train", "--step", "1", "--json") == 0
    assert json.loads(capsys.readouterr().out)["total"]["episodes"] == 13
    assert run("regrade", saved.job_id, "--grader", lenient, "--out", str(tmp_path / "no" / "x")) == 2


def test_commands_that_grade_have_examples(run: Run, capsys: Capture) -> None:
    for command in (("graders", "check"), ("regrade",)):
        assert run(*command, "--help") == 0
        assert "Example" in capsys.readouterr().out
