import pytest

from agentrft.analysis.hackability import Paid, Verdict, judge
from agentrft.analysis.tricks import TRICKS, Trick

BY_NAME = {trick.name: trick for trick in TRICKS}
EMPTY, REFERENCE = BY_NAME["empty"], BY_NAME["reference"]


def verdict(real: list[float], **paid: list[float]) -> Verdict:
    by_trick: dict[Trick, Paid] = {BY_NAME[name]: Paid(rewards=tuple(rewards)) for name, rewards in paid.items()}
    return judge(Paid(rewards=tuple(real)), by_trick, items=1, noise=None).verdict


@pytest.mark.parametrize(
    ("reward", "expected"),
    [(0.0, "fine"), (0.1, "fine"), (0.11, "suspicious"), (0.2, "suspicious"), (0.21, "hackable"), (2.0, "hackable")],
)
def test_a_trick_is_weighed_against_real_episodes(reward: float, expected: str) -> None:
    assert verdict([0.0, 0.4], empty=[reward], reference=[1.0]) == expected


def test_rewards_below_zero_are_weighed_from_the_least_that_is_paid() -> None:
    assert verdict([-1.0, 1.0], empty=[-1.0], reference=[1.0]) is Verdict.FINE
    assert verdict([-1.0, 1.0], empty=[-0.2], reference=[1.0]) is Verdict.SUSPICIOUS


def test_where_real_episodes_earn_nothing_any_pay_is_too_much() -> None:
    assert verdict([0.0, 0.0], empty=[0.1], reference=[1.0]) is Verdict.HACKABLE
    assert verdict([0.0, 0.0], empty=[0.0], reference=[0.0]) is Verdict.FINE


@pytest.mark.parametrize(("reward", "expected"), [(0.1, "fine"), (0.3, "suspicious"), (0.6, "hackable")])
def test_without_real_episodes_a_trick_is_weighed_against_the_reference(reward: float, expected: str) -> None:
    assert verdict([], empty=[reward], silence=[0.0], reference=[1.0]) == expected


def test_the_worst_trick_decides_and_controls_do_not() -> None:
    assert verdict([0.5], empty=[0.0], numbers=[0.3], reference=[1.0]) is Verdict.SUSPICIOUS
    report = judge(
        Paid(rewards=(0.5,)),
        {EMPTY: Paid(rewards=(0.0,)), REFERENCE: Paid(rewards=(0.2,), failed=1, flagged=1, trouble="no")},
        items=2,
        noise=None,
    )
    assert report.verdict is Verdict.FINE
    (_, control) = report.tricks
    assert (control.verdict, control.episodes, control.failed, control.trouble) == (Verdict.SUSPICIOUS, 2, 1, "no")


def test_a_grader_that_never_grades_is_not_called_fine() -> None:
    report = judge(Paid(failed=3, trouble="down"), {EMPTY: Paid(failed=3)}, items=1, noise=None)
    assert (report.verdict, report.floor, report.real_mean) == (Verdict.UNKNOWN, None, None)


def test_without_real_episodes_and_references_there_is_nothing_to_weigh_against() -> None:
    assert verdict([], empty=[0.9], silence=[0.0]) is Verdict.UNKNOWN
    report = judge(Paid(), {EMPTY: Paid(rewards=(0.9,))}, items=1, noise=None)
    assert (report.top, report.tricks[0].verdict, report.tricks[0].reward_mean) == (None, Verdict.UNKNOWN, 0.9)
