import pytest

from agentrft.demo.follow import Progress
from agentrft.demo.pace import Pace, Plan

PLAN = Plan(total_steps=10, step_episodes=64, eval_episodes=100, eval_interval=4)


def progress(phase: str, step: int, done: int, expected: int) -> Progress:
    return Progress(phase=phase, step=step, done=done, expected=expected)


def test_a_plan_counts_baseline_intervals_and_last_step() -> None:
    assert PLAN.after(0) == 100
    assert PLAN.after(4) == 4 * 64 + 200
    assert PLAN.total == 10 * 64 + 400  # step 0, 4, 8 and 10
    assert Plan(total_steps=8, step_episodes=64, eval_episodes=100, eval_interval=4).total == 8 * 64 + 300
    assert Plan(total_steps=60, step_episodes=4).total == 240


def test_places_inside_a_step_only_go_up() -> None:
    places = [
        PLAN.at(progress("eval", 0, 50, 100)),
        PLAN.at(progress("sampling", 1, 10, 64)),
        PLAN.at(progress("training", 1, 0, 0)),
        PLAN.after(1),
        PLAN.at(progress("sampling", 4, 64, 64)),
        PLAN.at(progress("eval", 4, 10, 100)),
        PLAN.after(4),
    ]
    assert places == sorted(places)
    assert places[0] == 50


def test_time_left_follows_from_time_taken() -> None:
    pace = Pace(plan=Plan(total_steps=10, step_episodes=1), started_s=100.0)
    assert pace.reach(0, 101.0) is None
    assert pace.reach(5, 130.0) == pytest.approx(30.0)
    assert pace.reach(10, 160.0) == 0.0


def test_the_share_never_falls_nor_passes_one() -> None:
    pace = Pace(plan=Plan(total_steps=10, step_episodes=1), started_s=0.0)
    pace.reach(5, 1.0)
    pace.reach(2, 2.0)
    assert pace.share == 0.5
    pace.reach(99, 3.0)
    assert pace.share == 1.0
