"""Who did better than their peers, and by how much: rl-engine reference, sections 1.3 and 1.7."""

import math
import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentrft.domain.episode import Completion, FinishReason, Group, Span, StopReason, TokenKind
from agentrft.domain.job import Penalty
from agentrft.engine.credit import accuracy_advantages, advantages, data, thinned
from agentrft.engine.transcript import Transcript
from agentrft.testing import a_group, an_episode, an_item

NO_PENALTY = Penalty(weight=0.0)
REWARDS = st.floats(-1.0, 1.0).map(lambda reward: round(reward, 3))


@st.composite
def groups(draw: st.DrawFn) -> Group:
    """Groups whose attempts differ in reward, tokens, calls and seconds, some of them with faults."""
    rewards = draw(st.lists(st.one_of(st.none(), REWARDS, st.sampled_from([0.0, 1.0])), min_size=1, max_size=8))
    episodes = [
        an_episode(
            attempt=attempt,
            sampled_tokens=draw(st.integers(1, 20)),
            tool_calls=draw(st.integers(0, 5)),
            tool_latency_s=draw(st.floats(0, 10)),
        )
        for attempt in range(len(rewards))
    ]
    return a_group(rewards, episodes=episodes)


PENALTIES = st.builds(
    Penalty,
    weight=st.floats(0.0, 2.0),
    tool_seconds=st.sampled_from([0.0, 1.0]),
    scale_by_pass_rate=st.booleans(),
    keep=st.sampled_from([0.25, 0.5, 1.0]),
)


def test_the_leave_one_out_advantage_by_hand() -> None:
    assert advantages(a_group([1.0, 0.0, 0.0, 0.0]), NO_PENALTY) == pytest.approx([1.0, -1 / 3, -1 / 3, -1 / 3])
    assert advantages(a_group([1.0, 1.0, 0.5, 0.0]), NO_PENALTY) == pytest.approx([0.5, 0.5, -1 / 6, -5 / 6])


def test_it_is_the_reward_minus_the_mean_of_the_others() -> None:
    rewards = [0.9, 0.1, 0.4]
    expected = [0.9 - 0.25, 0.1 - 0.65, 0.4 - 0.5]
    assert advantages(a_group(rewards), NO_PENALTY) == pytest.approx(expected)


@given(groups())
def test_without_a_penalty_the_advantages_of_a_group_sum_to_zero(group: Group) -> None:
    assert math.fsum(advantages(group, NO_PENALTY)) == pytest.approx(0.0, abs=1e-9)


@given(groups(), PENALTIES)
def test_the_penalty_never_turns_a_sign_and_never_touches_a_failure(group: Group, penalty: Penalty) -> None:
    for graded, accuracy, total in zip(
        group.valid, accuracy_advantages(group), advantages(group, penalty), strict=True
    ):
        if accuracy > 0:
            assert total >= penalty.keep * accuracy > 0
        if accuracy < 0:
            assert total <= penalty.keep * accuracy < 0
        if graded.reward < penalty.success:
            assert total == accuracy or penalty.keep > 1


@given(groups(), PENALTIES)
def test_faulted_attempts_count_for_nothing(group: Group, penalty: Penalty) -> None:
    survivors = replace(group, episodes=tuple(group.valid))
    assert advantages(group, penalty) == advantages(survivors, penalty)
    assert data([group], penalty) == data([survivors], penalty)


def costly_group(rewards: list[float], calls: list[int], tokens: int = 4) -> Group:
    return a_group(
        rewards,
        episodes=[an_episode(attempt=n, tool_calls=count, sampled_tokens=tokens) for n, count in enumerate(calls)],
    )


def test_the_cheaper_of_two_successes_is_preferred_by_a_zero_mean_term() -> None:
    group = costly_group([1.0, 1.0, 0.0, 0.0], [1, 3, 9, 9])
    penalty = Penalty(weight=0.3)
    terms = [total - acc for total, acc in zip(advantages(group, penalty), accuracy_advantages(group), strict=True)]
    # p = 0.5; costs 1 + 1/3 and 1 + 3/3, a third from their mean on either side: 0.3 * 0.5 / 3.
    assert terms == pytest.approx([0.05, -0.05, 0.0, 0.0])


def test_the_pass_rate_scales_the_term_only_if_asked() -> None:
    group = costly_group([1.0, 1.0, 0.0, 0.0], [1, 3, 9, 9])
    plain = advantages(group, Penalty(weight=0.3, scale_by_pass_rate=False))
    assert plain[0] - plain[1] == pytest.approx(0.2)


def test_a_dear_success_keeps_its_least_share() -> None:
    group = costly_group([1.0, 1.0, 0.0, 0.0], [0, 9, 0, 0])
    assert advantages(group, Penalty(weight=10.0, keep=0.25))[1] == pytest.approx(0.25 * 2 / 3)


def test_where_all_passed_half_of_the_term_is_left() -> None:
    group = costly_group([1.0, 1.0], [1, 3])
    assert advantages(group, Penalty(weight=0.3)) == pytest.approx([0.05, -0.05])


def test_a_single_success_has_nobody_to_be_compared_with() -> None:
    group = costly_group([1.0, 0.0], [5, 1])
    assert advantages(group, Penalty(weight=1.0)) == advantages(group, NO_PENALTY)


def test_tokens_and_seconds_cost_too() -> None:
    episodes = [an_episode(sampled_tokens=10, tool_calls=1, tool_latency_s=4.0) for _ in range(2)]
    episodes[1] = an_episode(sampled_tokens=5, tool_calls=1, tool_latency_s=1.0)
    group = a_group([1.0, 1.0], episodes=episodes)
    by_tokens = advantages(group, Penalty(weight=1.0, tool_calls=0.0))
    by_seconds = advantages(group, Penalty(weight=1.0, tool_calls=0.0, reasoning_tokens=0.0, tool_seconds=1.0))
    assert by_tokens == pytest.approx([-0.125, 0.125])
    assert by_seconds == pytest.approx([-0.1875, 0.1875])


def test_successes_without_any_call_cost_nothing() -> None:
    assert advantages(costly_group([1.0, 1.0], [0, 0]), Penalty(weight=1.0)) == [0.0, 0.0]


@given(st.integers(2, 12), st.integers(1, 50), st.integers(0, 9), st.sampled_from([0.0, 0.1, 0.7, 1.0]))
def test_attempts_that_are_all_alike_have_no_advantage_at_all(
    size: int, tokens: int, calls: int, reward: float
) -> None:
    episodes = [an_episode(sampled_tokens=tokens, tool_calls=calls, tool_latency_s=0.1) for _ in range(size)]
    penalty = Penalty(weight=0.5, reasoning_tokens=0.1, tool_calls=0.7, tool_seconds=0.3)
    assert advantages(a_group([reward] * size, episodes=episodes), penalty) == [0.0] * size


def test_nobody_and_one_alone_have_no_advantage() -> None:
    assert advantages(a_group([None, None]), NO_PENALTY) == []
    assert advantages(a_group([1.0, None]), Penalty()) == [0.0]


def test_the_trainer_sees_sampled_tokens_with_their_log_probabilities() -> None:
    first, second = data([a_group([1.0, 0.0])], NO_PENALTY)
    assert first.ids == (1, 2, 3, 10, 11, 12, 13)
    assert first.weights == (0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0)
    assert first.old_logps == (0.0, 0.0, 0.0, -0.5, -0.5, -0.5, -0.5)
    assert (first.advantage, second.advantage) == (1.0, -1.0)


def test_what_nobody_read_is_not_trained_on() -> None:
    transcript = Transcript()
    transcript.read([Span(ids=(1,), kind=TokenKind.USER)], turn=0)
    transcript.write(Completion(ids=(2, 3), logps=(-1.0, -1.0), versions=(1, 1), finish=FinishReason.STOP), turn=0)
    transcript.read([Span(ids=(4, 5, 6), kind=TokenKind.TOOL)], turn=0)
    long = replace(an_episode(), tokens=transcript.tokens())
    assert data([a_group([1.0, 0.0], episodes=[long, an_episode()])], NO_PENALTY)[0].ids == (1, 2, 3)


def test_attempts_without_advantage_or_without_tokens_are_left_out() -> None:
    assert data([a_group([1.0, 1.0])], NO_PENALTY) == []
    assert len(data([a_group([1.0, 0.5, 0.0])], NO_PENALTY)) == 2
    silent = replace(an_episode(an_item()), tokens=Transcript().tokens())
    assert len(data([a_group([0.0, 1.0], episodes=[silent, an_episode()])], NO_PENALTY)) == 1


ADVANTAGES = st.lists(st.one_of(st.just(0.0), st.floats(-2, 2).map(lambda x: round(x, 2))), min_size=1, max_size=12)


@given(ADVANTAGES, st.integers(1, 12), st.integers(0, 1000))
def test_thinning_keeps_no_more_than_asked_and_all_where_there_are_no_more(
    amounts: list[float], keep: int, seed: int
) -> None:
    shown = thinned(amounts, keep, random.Random(seed))
    kept = [index for index, amount in enumerate(shown) if amount]
    useful = [index for index, amount in enumerate(amounts) if amount]
    assert len(kept) == min(keep, len(useful))
    if keep >= len(useful):
        assert shown == pytest.approx(amounts)
    assert all(math.copysign(1, shown[i]) == math.copysign(1, amounts[i]) for i in kept)
    assert all(abs(shown[i]) >= abs(amounts[i]) - 1e-9 for i in kept)


@given(ADVANTAGES, st.integers(1, 6))
def test_thinned_advantages_are_right_on_average(amounts: list[float], keep: int) -> None:
    draws = [thinned(amounts, keep, random.Random(seed)) for seed in range(400)]
    largest = max(map(abs, amounts)) + sum(map(abs, amounts)) / keep
    for place, amount in enumerate(amounts):
        mean = math.fsum(draw[place] for draw in draws) / len(draws)
        assert mean == pytest.approx(amount, abs=0.25 * largest + 1e-9)


def test_of_three_successes_in_sixteen_all_are_kept_and_the_failures_weigh_more() -> None:
    amounts = [0.8] * 3 + [-0.2] * 13
    shown = thinned(amounts, 8, random.Random(1))
    assert shown[:3] == pytest.approx([0.8] * 3)
    assert [amount for amount in shown[3:] if amount] == pytest.approx([-0.2 * 13 / 5] * 5)


def test_places_go_to_attempts_that_are_not_masked() -> None:
    stops = [StopReason.MAX_TOKENS, StopReason.ANSWER, StopReason.MAX_TOKENS, StopReason.ANSWER]
    episodes = [replace(an_episode(attempt=n), stop=stop) for n, stop in enumerate(stops)]
    group = a_group([1.0, 0.0, 0.0, 1.0], episodes=episodes)
    for seed in range(20):
        assert len(data([group], NO_PENALTY, mask_truncated=True, keep=2, seed=seed)) == 2
