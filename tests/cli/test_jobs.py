import json

import pytest

from tests.cli.conftest import Run
from tests.demo.fake_platform import FakePlatform, metrics

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def busy(connected: FakePlatform) -> FakePlatform:
    for number, status in enumerate(("succeeded", "running")):
        connected.jobs[f"ftjob-{number}"] = connected.job(number, status=status)
    connected.script = [{}, metrics(1, 2), metrics(2, 2)]
    return connected


def test_jobs_are_listed_newest_first(run: Run, busy: FakePlatform, capsys: Capture) -> None:
    assert run("jobs", "list") == 0
    header, first, second = capsys.readouterr().out.splitlines()
    assert header.split()[:2] == ["id", "status"]
    assert first.split()[:2] == ["ftjob-1", "running"]
    assert second.split()[:2] == ["ftjob-0", "succeeded"]


def test_the_list_is_json_on_request_and_keeps_to_its_limit(run: Run, busy: FakePlatform, capsys: Capture) -> None:
    assert run("jobs", "list", "--json", "--limit", "1") == 0
    assert [job["id"] for job in json.loads(capsys.readouterr().out)] == ["ftjob-1"]


def test_no_jobs_is_no_error(run: Run, connected: FakePlatform, capsys: Capture) -> None:
    assert run("jobs", "list") == 0
    assert capsys.readouterr().out == "There are no jobs yet.\n"


def test_a_job_is_shown_with_its_error(run: Run, busy: FakePlatform, capsys: Capture) -> None:
    error = {"code": "tools_unreachable", "message": "no [answer]", "param": None}
    method = {"type": "reinforcement", "reinforcement": {"hyperparameters": {"batch_size": 4}}}
    busy.jobs["ftjob-2"] = busy.job(2, status="failed", error=error, method=method)
    assert run("jobs", "show", "ftjob-2") == 0
    shown = capsys.readouterr().out
    assert "tools_unreachable: no [answer]" in shown
    assert "batch_size" in shown
    assert run("jobs", "show", "ftjob-2", "--json") == 0
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "tools_unreachable"


def test_events_are_listed_oldest_first(run: Run, busy: FakePlatform, capsys: Capture) -> None:
    assert run("jobs", "events", "ftjob-0", "--limit", "2") == 0
    lines = capsys.readouterr().out.splitlines()[1:]
    assert [line.split("info")[1].strip() for line in lines] == ["event 1", "event 2"]
    assert run("jobs", "events", "ftjob-0", "--json") == 0
    assert [event["type"] for event in json.loads(capsys.readouterr().out)] == ["message", "metrics", "metrics"]


def test_a_job_is_cancelled(run: Run, busy: FakePlatform, capsys: Capture) -> None:
    assert run("jobs", "cancel", "ftjob-1") == 0
    assert capsys.readouterr().out == "ftjob-1 cancelled\n"
    assert busy.jobs["ftjob-1"]["status"] == "cancelled"
    assert run("jobs", "cancel", "ftjob-0", "--json") == 0
    assert json.loads(capsys.readouterr().out)["status"] == "cancelled"
