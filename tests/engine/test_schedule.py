"""The learning rate warms up and then falls along a straight line."""

import pytest

from agentrft.domain.job import Optimizer
from agentrft.engine.schedule import learning_rate


def rates(optimizer: Optimizer, total_steps: int) -> list[float]:
    return [learning_rate(optimizer, step=step, total_steps=total_steps) for step in range(1, total_steps + 1)]


def test_it_warms_up_by_equal_parts_and_then_stays() -> None:
    assert rates(Optimizer(learning_rate=3.0, warmup_steps=3), 5) == pytest.approx([1.0, 2.0, 3.0, 3.0, 3.0])


def test_it_decays_linearly_to_the_share_that_is_left() -> None:
    optimizer = Optimizer(learning_rate=1.0, warmup_steps=1, decay_to=0.2)
    assert rates(optimizer, 5) == pytest.approx([1.0, 0.8, 0.6, 0.4, 0.2])


def test_without_a_warm_up_the_first_step_already_decays() -> None:
    assert rates(Optimizer(learning_rate=1.0, warmup_steps=0, decay_to=0.0), 2) == pytest.approx([0.5, 0.0])


def test_a_job_shorter_than_its_warm_up_never_reaches_the_full_rate() -> None:
    assert rates(Optimizer(learning_rate=4.0, warmup_steps=4), 2) == pytest.approx([1.0, 2.0])
