import pytest

from agentrft.analysis.alert import Severity
from agentrft.analysis.behaviour_alarms import (
    answer_repeats,
    answers_collapse,
    answers_grow,
    tool_use_collapses,
    truncation,
    unaided_success,
)
from agentrft.analysis.history import History, Observation
from agentrft.domain.episode import StopReason
from tests.analysis.episodes import graded, played


def history(name: str, *values: float, episodes: float = 100, **same: float) -> History:
    return History(
        [
            Observation(step=step, metrics={"valid_rollouts_graded": episodes, name: value, **same})
            for step, value in enumerate(values)
        ]
    )


@pytest.mark.parametrize(
    ("before", "now", "fires"), [(20, 40, True), (20, 39, False), (3, 9, False), (40, 20, False), (9, 26, True)]
)
def test_answers_that_double_are_told(before: float, now: float, fires: bool) -> None:
    assert (answers_grow(history("valid_answer_tokens_mean", before, now)) is not None) is fires
    assert answers_grow(history("valid_answer_tokens_mean", before, now, episodes=15)) is None


def test_answers_collapse_by_the_turn_and_not_by_the_episode() -> None:
    def steps(*tokens_and_turns: tuple[float, float]) -> History:
        return History(
            [
                Observation(
                    step=step,
                    metrics={
                        "valid_rollouts_graded": 64,
                        "valid_output_tokens_mean": tokens,
                        "valid_turns_mean": turns,
                    },
                )
                for step, (tokens, turns) in enumerate(tokens_and_turns)
            ]
        )

    assert answers_collapse(steps((131, 4.8), (60, 2.2))) is None  # fewer calls, the same in each turn
    assert answers_collapse(steps((131, 4.8), (13, 1.0))) is not None
    assert answers_collapse(steps((30, 4.8), (3, 1.0))) is None  # too short for that from the beginning


def test_tools_that_are_hardly_called_any_more_are_told() -> None:
    def found(reward: float, *calls: float) -> Severity | None:
        steps = history("valid_tool_calls_mean", *calls).observations
        rewards = [0.5, reward]
        with_rewards = [
            Observation(step=each.step, metrics={**each.metrics, "valid_reward_mean": rewards[each.step]})
            for each in steps
        ]
        alert = tool_use_collapses(History(with_rewards))
        return alert.severity if alert else None

    assert found(0.9, 3.8, 2.2) is None
    assert found(0.9, 3.8, 0.9) is Severity.SERIOUS
    assert found(0.4, 3.8, 0.9) is Severity.WARN
    assert found(0.9, 0.4, 0.0) is None  # never used them


def test_an_answer_that_is_given_to_most_items_is_told_with_its_episodes() -> None:
    episodes = [graded(0.5, played(n, "42", trace_id=f"same{n}")) for n in range(8)]
    others = [graded(1.0, played(n, str(n), trace_id=f"other{n}")) for n in range(8, 12)]
    now = Observation(step=5, metrics={"valid_top_answer_share": 8 / 12}, valid=[*others, *episodes])

    def before(share: float) -> Observation:
        return Observation(step=0, metrics={"valid_top_answer_share": share})

    found = answer_repeats(History([before(0.1), now]))
    assert found is not None
    assert set(found.trace_ids) == {f"same{n}" for n in range(8)}
    assert "'42'" in found.message
    assert answer_repeats(History([before(0.5), now])) is None  # the answers are few, as in yes and no
    assert answer_repeats(History([before(0.7)])) is None


def test_successes_without_tools_are_told_when_they_were_not_so_at_first() -> None:
    name = "valid_unaided_success_share"
    assert unaided_success(history(name, 0.1, 0.6)) is not None
    assert unaided_success(history(name, 0.1, 0.5)) is None
    assert unaided_success(history(name, 0.45, 0.6)) is None
    assert unaided_success(history(name, 0.9)) is None
    too_few_at_first = [Observation(step=0, metrics={}), Observation(step=5, metrics={name: 0.9})]
    assert unaided_success(History(too_few_at_first)) is None  # perhaps the task needs no tools
    later = [*too_few_at_first, Observation(step=10, metrics={name: 0.95})]
    assert unaided_success(History(later)) is None
    fewer = [Observation(step=0, metrics={}), Observation(step=5, metrics={name: 0.1})]
    assert unaided_success(History([*fewer, Observation(step=10, metrics={name: 0.9})])) is not None


def test_episodes_cut_off_by_a_budget_are_told_for_training_and_for_the_baseline() -> None:
    cut = graded(0.0, played(0, "", stop=StopReason.MAX_TOKENS, trace_id="cut"))

    def step(split: str, share: float, episodes: float = 64) -> History:
        metrics = {f"{split}_rollouts_graded": episodes, f"{split}_stop_share_max_tokens": share / 2}
        metrics[f"{split}_stop_share_context"] = share / 2
        return History([Observation(step=0, metrics=metrics, train=[cut], valid=[cut, graded(1.0, played(1, "x"))])])

    for split in ("train", "valid"):
        found = truncation(step(split, 0.26))
        assert found is not None
        assert found.trace_ids == ("cut",)
        assert truncation(step(split, 0.25)) is None
        assert truncation(step(split, 0.9, episodes=15)) is None
