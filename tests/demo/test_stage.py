import io
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx2
import pytest
from rich.console import Console

from agentrft.demo.display import PlainDisplay
from agentrft.demo.follow import JobNotSucceeded, read_step
from agentrft.demo.pace import Plan
from agentrft.demo.platform import Address
from agentrft.demo.processes import ProcessFailed
from agentrft.demo.stage import Stage, ToolProgram, open_stage
from tests.demo.fake_platform import KEY, FakePlatform, fake_platform, metrics

TOOLS = ToolProgram(command=[sys.executable, "-m", "agentrft.demo.tool_server"], tool_names=("search", "list", "cat"))
CONSOLE = Console(file=io.StringIO())


@pytest.fixture(scope="module")
def platform() -> Iterator[FakePlatform]:
    with fake_platform() as fake:
        yield fake


@pytest.fixture(scope="module")
def stage(platform: FakePlatform, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    address = Address(url=platform.url, api_key=KEY)
    with open_stage(tmp_path_factory.mktemp("stage"), TOOLS, CONSOLE, running=address) as opened:
        yield replace(opened, poll_s=0.0)


def test_the_tools_of_the_job_answer_at_their_endpoints(stage: Stage) -> None:
    endpoint = stage.endpoints[1]
    body = {"name": "list", "arguments": '{"path": "/"}'}
    reply = httpx2.post(endpoint["server_url"], json=body, headers=endpoint["headers"])
    assert reply.json()["output"].endswith("(180 folders)")
    assert httpx2.post(endpoint["server_url"], json=body).status_code == 401


def test_a_job_is_followed_and_summed_up(stage: Stage, platform: FakePlatform) -> None:
    platform.jobs["ftjob-1"] = platform.job(1)
    platform.script = [
        metrics(0, 1, valid_reward_mean=0.3, valid_rollouts_graded=10),
        metrics(1, 1, valid_reward_mean=0.8, valid_rollouts_graded=10),
    ]
    stage.phases.begin("baseline")
    plan = Plan(total_steps=1, step_episodes=4, eval_episodes=10)
    steps = stage.follow("ftjob-1", plan, PlainDisplay(CONSOLE))
    outcome = stage.outcome(steps, seed=3)
    assert (outcome.baseline.reward_mean, outcome.final.reward_mean, outcome.steps) == (0.3, 0.8, 1)
    assert list(outcome.phases) == ["start", "baseline", "reinforcement"]
    assert outcome.peak_rss_bytes is None or outcome.peak_rss_bytes > 10_000_000
    assert stage.finished_model("ftjob-1").startswith("ft:")


def test_a_job_without_figures_or_model_is_told(stage: Stage, platform: FakePlatform) -> None:
    with pytest.raises(JobNotSucceeded, match="no held-out figures"):
        stage.outcome([read_step(metrics(1, 1))], seed=0)
    platform.jobs["ftjob-2"] = platform.job(2, status="succeeded")
    with pytest.raises(JobNotSucceeded, match="without a model"):
        stage.finished_model("ftjob-2")


def test_a_tool_server_that_cannot_start_is_told_with_its_log(platform: FakePlatform, tmp_path: Path) -> None:
    broken = ToolProgram(command=[sys.executable, "-c", "raise SystemExit('no data')"], tool_names=())
    address = Address(url=platform.url, api_key=KEY)
    failing = pytest.raises(ProcessFailed, match="no data")
    with failing, open_stage(tmp_path, broken, CONSOLE, running=address):
        pass
