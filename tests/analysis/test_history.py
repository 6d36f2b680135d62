import pytest

from agentrft.analysis.history import History, Observation
from tests.analysis.episodes import graded, played


def test_a_series_has_the_steps_that_measure_it() -> None:
    history = History([Observation(step=step, metrics=row) for step, row in enumerate([{"a": 1.0}, {}, {"a": 2.0}])])
    assert history.series("a") == [1.0, 2.0]
    assert [each.step for each in history.having("a")] == [0, 2]
    assert history.value("a") == 2.0
    with pytest.raises(KeyError):
        history.value("b")


@pytest.mark.parametrize(
    ("lowest", "highest", "span", "unit"),
    [(0.0, 1.0, 1.0, True), (0.4, 0.6, 1.0, True), (-1.0, 1.0, 2.0, False), (0.0, 5.0, 5.0, False)],
)
def test_rewards_within_one_are_taken_to_reach_from_zero_to_one(
    lowest: float, highest: float, span: float, unit: bool
) -> None:
    rows = [{"train_reward_min": lowest, "train_reward_max": lowest}, {"valid_reward_min": lowest}]
    rows.append({"valid_reward_max": highest})
    history = History([Observation(step=step, metrics=row) for step, row in enumerate(rows)])
    assert (history.reward_span, history.on_unit_scale) == (span, unit)


def test_an_earlier_step_keeps_its_numbers_and_not_its_episodes() -> None:
    whole = [graded(1.0, played(0, "a"))]
    kept = Observation(step=3, metrics={"a": 1.0}, train=whole, valid=whole, item_rewards={0: 1.0}).without_episodes()
    assert kept == Observation(step=3, metrics={"a": 1.0}, item_rewards={0: 1.0})
