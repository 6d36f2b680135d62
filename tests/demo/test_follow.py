from collections.abc import Callable, Iterator

import pytest
from openai import OpenAI

from agentrft.demo.follow import JobFollower, JobNotSucceeded, Progress, StepFigures, read_progress, read_step
from tests.demo.fake_platform import KEY, FakePlatform, fake_platform, metrics


@pytest.fixture
def platform() -> Iterator[FakePlatform]:
    with fake_platform() as fake:
        fake.jobs["ftjob-1"] = fake.job(1)
        yield fake


def follow(platform: FakePlatform, check: Callable[[], None] = lambda: None) -> list[StepFigures | Progress]:
    with OpenAI(base_url=f"{platform.url}/v1", api_key=KEY, max_retries=0) as client:
        return list(JobFollower(client=client, job_id="ftjob-1", check=check, poll_s=0.0).updates())


def test_every_step_comes_once_and_in_order(platform: FakePlatform) -> None:
    platform.script = [{}, *(metrics(step, 130, train_reward_mean=step / 130) for step in range(131))]
    steps = [update for update in follow(platform) if isinstance(update, StepFigures)]
    assert [figures.step for figures in steps] == list(range(131))
    assert steps[-1].reward == 1.0


def test_progress_inside_a_step_is_passed_on(platform: FakePlatform) -> None:
    platform.script = [{}]
    platform.progress = {"phase": "sampling", "step": 2, "done": 3, "expected": 64}
    assert follow(platform) == [Progress(phase="sampling", step=2, done=3, expected=64)]


@pytest.mark.parametrize("status", ["failed", "cancelled"])
def test_a_job_that_does_not_succeed_says_why(platform: FakePlatform, status: str) -> None:
    platform.final_status = status
    platform.final_error = {"code": "x", "message": "the disk is full", "param": None}
    with pytest.raises(JobNotSucceeded, match=f"ftjob-1 {status}: the disk is full"):
        follow(platform)


def test_waiting_ends_when_it_has_become_useless(platform: FakePlatform) -> None:
    platform.script = [{}] * 1000

    def dead() -> None:
        raise RuntimeError("the worker ended")

    with pytest.raises(RuntimeError, match="the worker ended"):
        follow(platform, dead)


def test_a_validation_is_read_from_our_block() -> None:
    figures = read_step(
        {
            "step": 5,
            "total_steps": 10,
            "timing": {"step": {"full_iteration": 12.5}},
            "agentrft": {
                "train_reward_mean": 0.5,
                "train_tool_calls_mean": 3.0,
                "train_output_tokens_mean": 90.0,
                "valid_reward_mean": 0.6,
                "valid_reward_stderr": 0.05,
                "valid_tool_calls_mean": 2.5,
                "valid_output_tokens_mean": 80.0,
                "valid_latency_mean_s": 1.5,
                "valid_rollouts_graded": 100.0,
            },
        }
    )
    assert (figures.reward, figures.tool_calls, figures.output_tokens, figures.seconds) == (0.5, 3.0, 90.0, 12.5)
    assert figures.validation is not None
    assert (figures.validation.reward_mean, figures.validation.n) == (0.6, 100)


def test_openais_own_names_will_do_where_our_block_is_missing() -> None:
    figures = read_step({"step": 5, "train_mean_reward": 0.4, "full_valid_mean_reward": 0.5, "agentrft": None})
    assert figures.reward == 0.4
    assert figures.validation is not None
    assert figures.validation.reward_mean == 0.5
    assert figures.validation.n is None


@pytest.mark.parametrize("data", [None, {}, [], {"step": 1, "timing": None, "agentrft": {}}])
def test_missing_figures_are_none(data: object) -> None:
    figures = read_step(data)
    assert figures.reward is None
    assert figures.validation is None


@pytest.mark.parametrize("found", [None, [], {}, {"progress": None}, {"progress": {"phase": None, "step": 1}}])
def test_no_progress_is_none(found: object) -> None:
    assert read_progress(found) is None
