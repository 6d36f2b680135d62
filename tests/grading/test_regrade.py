from agentrft.domain.episode import Grade, GradedEpisode
from agentrft.grading.regrade import regrade
from agentrft.testing import FunctionGrader, a_graded_episode, an_episode, broken_grader, broken_tool


async def test_both_rewards_are_told_and_faulted_episodes_left_out() -> None:
    kept, ungraded, broken = an_episode(attempt=2), an_episode(), an_episode(fault=broken_tool("search"))
    stored = [
        a_graded_episode(0.25, kept),
        GradedEpisode(episode=ungraded, grade=None, fault=broken_grader()),
        a_graded_episode(None, broken),
    ]
    flagged = Grade(reward=0.0, errors={"invalid_variable_error": "no item.x"})
    done: list[int] = []
    grader = FunctionGrader(lambda episode: flagged if episode is ungraded else 1.0)
    found = await regrade(grader, "train", 3, stored, on_done=lambda: done.append(1))
    assert [(each.trace_id, each.old, each.new) for each in found] == [
        (kept.trace_id, 0.25, 1.0),
        (ungraded.trace_id, None, 0.0),
    ]
    assert found[1].problem == "invalid_variable_error: no item.x"
    assert (found[0].split, found[0].step, found[0].attempt, found[0].answer, len(done)) == ("train", 3, 2, "3", 2)


async def test_a_grader_that_fails_leaves_no_reward_but_its_reason() -> None:
    (found,) = await regrade(
        FunctionGrader(lambda _: broken_grader()), "valid", 0, [a_graded_episode(1.0)], on_done=lambda: None
    )
    assert (found.new, found.problem) == (None, "the grader's reply holds no score")
