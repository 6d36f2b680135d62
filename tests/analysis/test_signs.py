import pytest

from agentrft.analysis.signs import item_rewards, monitor_signs, signs, top_answer
from agentrft.domain.episode import StopReason
from tests.analysis.episodes import graded, played


def test_answers_are_measured_by_their_last_turn() -> None:
    found = signs(
        "valid",
        [
            graded(0.25, played(0, "a", replies=["x"], tokens=4)),
            graded(1.0, played(1, "b", tokens=8)),
            graded(0.0, played(2, "", tokens=90, stop=StopReason.MAX_TOKENS)),
        ],
        success=0.5,
    )
    assert found == {"valid_reward_min": 0.0, "valid_reward_max": 1.0, "valid_answer_tokens_mean": 6.0}
    assert signs("valid", [], success=0.5) == {}


def test_the_commonest_answer_counts_each_item_the_same() -> None:
    many = [graded(0, played(0, "yes", trace_id=str(n))) for n in range(30)]
    others = [graded(0, played(n, "No ")) for n in range(1, 10)] + [graded(0, played(9, "no", trace_id="again"))]
    assert top_answer([*many, *others]) == ("no", pytest.approx(0.9))
    assert signs("valid", [*many, *others], success=0.5)["valid_top_answer_share"] == pytest.approx(0.9)
    assert "valid_top_answer_share" not in signs("valid", [*many, *others[:4]], success=0.5)


def test_a_success_is_unaided_when_no_tool_said_anything_useful() -> None:
    helped = [graded(1.0, played(n, "a", replies=["42"])) for n in range(6)]
    guessed = [graded(1.0, played(n, "b")) for n in range(3)]
    misled = [graded(0.5, played(9, "c", replies=["no such file"], broken=True))]
    failed = [graded(0.0, played(n, "d")) for n in range(5)]
    found = signs("train", [*helped, *guessed, *misled, *failed], success=0.5)
    assert found["train_unaided_success_share"] == pytest.approx(0.4)
    assert "train_unaided_success_share" not in signs("train", [*helped, *failed], success=0.5)


def test_a_monitor_is_compared_with_the_grader_episode_by_episode() -> None:
    episodes = [graded(n / 20, played(n, str(n))) for n in range(21)]
    theirs = {each.episode.trace_id: 1 - each.reward for each in episodes}
    found = monitor_signs("valid", "tone", episodes, theirs, asked=42)
    assert found["valid_monitor_mean_tone"] == pytest.approx(0.5)
    assert found["valid_monitor_spearman_tone"] == pytest.approx(-1.0)
    assert (found["valid_monitor_graded_tone"], found["valid_monitor_failed_share_tone"]) == (21.0, 0.5)
    assert (found["valid_monitor_items_tone"], found["valid_monitor_attainable_tone"]) == (21.0, pytest.approx(1.0))
    assert found["valid_monitor_stderr_tone"] > 0
    assert monitor_signs("valid", "tone", episodes, {}, asked=3) == {"valid_monitor_failed_share_tone": 1.0}


def test_the_reward_of_an_item_is_the_mean_of_its_attempts() -> None:
    assert item_rewards([graded(1.0, played(3, "a")), graded(0.0, played(3, "b")), graded(0.5, played(4, "c"))]) == {
        3: 0.5,
        4: 0.5,
    }
