import asyncio

import pytest

from agentrft.domain.episode import Episode, Grade
from agentrft.domain.faults import Fault
from agentrft.ports import Grader
from agentrft.testing import FunctionGrader, an_episode, broken_grader
from agentrft.worker.monitors import MAX_BARREN_STEPS, TRAIN_SHARE, Monitor


class Hanging:
    async def grade(self, episode: Episode) -> Grade | Fault:
        await asyncio.Event().wait()
        raise AssertionError


def breaks(episode: Episode) -> float:
    raise ZeroDivisionError


async def test_validation_is_graded_in_full_and_training_by_a_share() -> None:
    monitor = Monitor("m", FunctionGrader(lambda _: 0.5))
    valid = an_episode()
    monitor.watch("valid", valid)
    for _ in range(2 * TRAIN_SHARE + 5):
        monitor.watch("train", an_episode())
    found = await monitor.collect()
    assert found["valid"] == ({valid.trace_id: 0.5}, 1)
    rewards, asked = found["train"]
    assert (len(rewards), asked) == (2, 2)
    assert await monitor.collect() == {}


@pytest.mark.parametrize(
    ("grader", "trouble"),
    [
        (FunctionGrader(lambda _: broken_grader()), "the grader's reply holds no score"),
        (FunctionGrader(breaks), "internal error (ZeroDivisionError)"),
        (Hanging(), "0.01 s"),
    ],
)
async def test_a_monitor_that_fails_is_given_up_and_never_raises(grader: Grader, trouble: str) -> None:
    monitor = Monitor("m", grader, grace_s=0.01)
    for _ in range(MAX_BARREN_STEPS):
        assert not monitor.given_up
        monitor.watch("valid", an_episode())
        assert await monitor.collect() == {"valid": ({}, 1)}
    assert monitor.given_up
    assert trouble in monitor.trouble
    monitor.watch("valid", an_episode())
    assert await monitor.collect() == {}


async def test_one_grade_is_enough_to_be_asked_again() -> None:
    verdicts: list[float | Fault] = [broken_grader(), broken_grader(), 1.0, broken_grader(), broken_grader()]
    monitor = Monitor("m", FunctionGrader(lambda _: verdicts.pop(0)))
    for _ in range(5):
        monitor.watch("valid", an_episode())
        await monitor.collect()
    assert not monitor.given_up


async def test_a_monitor_that_is_closed_leaves_nothing_running() -> None:
    monitor = Monitor("m", Hanging())
    monitor.watch("valid", an_episode())
    await monitor.close()
    assert len(asyncio.all_tasks()) == 1


async def test_a_step_that_is_cancelled_while_it_waits_leaves_nothing_running() -> None:
    monitor = Monitor("m", Hanging())
    monitor.watch("valid", an_episode())
    step = asyncio.create_task(monitor.collect())
    await asyncio.sleep(0)
    step.cancel()
    await asyncio.gather(step, return_exceptions=True)
    assert len(asyncio.all_tasks()) == 1
