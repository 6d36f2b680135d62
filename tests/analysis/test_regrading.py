import pytest

from agentrft.analysis.regrading import MAX_MOVERS, Regraded, report


def regraded(split: str, step: int, item: int, old: float | None, new: float | None) -> Regraded:
    return Regraded(
        split=split,
        step=step,
        item_index=item,
        attempt=0,
        trace_id=f"{split} {step} {item} {old} {new}",
        answer="",
        old=old,
        new=new,
    )


def test_a_step_is_compared_episode_by_episode_and_group_by_group() -> None:
    found = report(
        [
            *(regraded("train", 1, 0, old, new) for old, new in ((0.0, 0.0), (0.0, 1.0))),  # gains signal
            *(regraded("train", 1, 1, old, new) for old, new in ((1.0, 0.5), (0.0, 0.5))),  # loses it
            *(regraded("train", 1, 2, old, new) for old, new in ((1.0, 1.0), (0.0, None), (None, 1.0))),
        ]
    )
    (step,) = found.steps
    assert (step.split, step.step, step.episodes, step.failed) == ("train", 1, 7, 1)
    assert (step.old_mean, step.new_mean, step.changed_share) == (pytest.approx(0.4), pytest.approx(0.6), 0.6)
    # Ranks of 0 0 1 0 1 are 2 2 4.5 2 4.5, of 0 1 .5 .5 1 are 1 4.5 2.5 2.5 4.5: covariance 0 of deviations
    # (-1 -1 1.5 -1 1.5) and (-2 1.5 -.5 -.5 1.5): 2 - 1.5 - .75 + .5 + 2.25 = 2.5; squares 7.5 and 9.
    assert step.spearman == pytest.approx(2.5 / (7.5 * 9) ** 0.5)
    assert (step.groups, step.groups_gained, step.groups_lost) == (2, 1, 1)
    assert (found.total.episodes, found.total.split) == (7, None)


def test_groups_of_different_steps_are_different_groups() -> None:
    found = report([regraded("train", step, 0, step, 0.0) for step in (1, 2) for _ in range(2)])
    assert [(each.step, each.groups, each.groups_lost) for each in found.steps] == [(1, 1, 0), (2, 1, 0)]
    assert found.total.groups == 2


def test_the_largest_changes_come_first_and_what_did_not_change_is_left_out() -> None:
    small = [regraded("valid", 0, item, 0.5, 0.5 + item / 100) for item in range(20)]
    found = report([*small, regraded("valid", 5, 0, 1.0, 0.0), regraded("valid", 5, 1, None, 1.0)])
    assert len(found.movers) == MAX_MOVERS
    assert [each.change for each in found.movers[:2]] == [-1.0, pytest.approx(0.19)]


def test_nothing_to_compare_is_no_error() -> None:
    (step,) = report([regraded("valid", 0, 0, None, None)]).steps
    assert (step.old_mean, step.new_mean, step.changed_share, step.spearman) == (None, None, None, None)
