"""What the nouns say about themselves."""

import pytest

from agentrft.domain.episode import StopReason
from agentrft.testing import a_graded_episode, a_group, an_episode


def test_an_episode_adds_up_its_turns() -> None:
    episode = an_episode(sampled_tokens=6, tool_calls=2, tool_latency_s=1.0)
    assert (episode.sampled_tokens, episode.tool_calls) == (6, 2)
    assert episode.tool_latency_s == pytest.approx(1.0)
    assert episode.tokens.sampled_count == 6
    assert len(episode.tokens) == 9


def test_only_an_episode_that_ended_with_an_answer_has_one() -> None:
    assert an_episode().answer == "3"
    assert an_episode(stop=StopReason.MAX_TURNS).answer == ""


def test_an_episode_with_a_fault_has_no_reward_to_be_read() -> None:
    assert a_graded_episode(0.0).reward == 0.0
    with pytest.raises(ValueError, match="no reward"):
        _ = a_graded_episode(None).reward


def test_a_group_has_signal_when_its_valid_rewards_differ() -> None:
    assert a_group([1.0, 0.0]).has_signal
    assert not a_group([1.0, 1.0]).has_signal
    assert not a_group([1.0, None]).has_signal
    assert not a_group([]).has_signal
    assert not a_group([0.1 + 0.2, 0.3]).has_signal


def test_the_valid_attempts_of_a_group_keep_their_order() -> None:
    group = a_group([0.5, None, 0.25])
    assert [graded.reward for graded in group.valid] == [0.5, 0.25]
