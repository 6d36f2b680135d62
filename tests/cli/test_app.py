import pytest

import agentrft
from agentrft.demo.processes import free_port
from tests.cli.conftest import Run
from tests.demo.fake_platform import KEY, FakePlatform

Capture = pytest.CaptureFixture[str]


def test_a_server_that_does_not_answer_is_told_with_what_to_do(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setenv("AGENTRFT_URL", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("AGENTRFT_API_KEY", KEY)
    assert run("jobs", "list") == 1
    assert "agentrft up" in capsys.readouterr().err


def test_a_wrong_key_is_told_without_the_key(
    run: Run, platform: FakePlatform, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setenv("AGENTRFT_URL", platform.url)
    monkeypatch.setenv("AGENTRFT_API_KEY", "sk-wrong")
    assert run("models", "list") == 1
    told = capsys.readouterr().err
    assert "AGENTRFT_API_KEY" in told
    assert "sk-wrong" not in told


def test_no_key_at_all_is_told(run: Run, capsys: Capture) -> None:
    assert run("files", "list") == 1
    assert "AGENTRFT_API_KEY" in capsys.readouterr().err


def test_what_the_server_says_is_passed_on(run: Run, connected: FakePlatform, capsys: Capture) -> None:
    assert run("jobs", "show", "ftjob-none") == 1
    assert capsys.readouterr().err == "error: Could not find fine tune: ftjob-none\n"


def test_help_and_version_need_no_server(run: Run, capsys: Capture) -> None:
    assert run("--version") == 0
    assert capsys.readouterr().out.strip() == f"agentrft {agentrft.__version__}"
    for command in (("up",), ("demo",), ("jobs", "list"), ("files", "upload"), ("models", "list"), ("serve-tools",)):
        assert run(*command, "--help") == 0
        assert "Example" in capsys.readouterr().out


def test_a_report_that_cannot_be_written_is_refused_before_the_training(run: Run, capsys: Capture) -> None:
    assert run("demo", "--exit", "--report", "nowhere/report.json") == 2
    assert "does not exist" in capsys.readouterr().err
