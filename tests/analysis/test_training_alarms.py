from collections.abc import Sequence
from dataclasses import replace

import pytest

from agentrft.analysis.alert import Severity
from agentrft.analysis.history import History, Observation
from agentrft.analysis.training_alarms import (
    entropy_collapse,
    few_effective_samples,
    gradient_spike,
    mismatch,
    no_signal,
    unlikeliest,
)
from agentrft.testing import a_graded_episode, an_episode


def steps(**series: Sequence[float]) -> History:
    names = {name.replace("train__", "train/"): values for name, values in series.items()}
    count = len(next(iter(names.values())))
    rows = [{name: values[step] for name, values in names.items()} for step in range(count)]
    return History([Observation(step=step + 1, metrics=row) for step, row in enumerate(rows)])


FALLING = [1.0, 1.0, 0.6, 0.4, 0.2, 0.2]


@pytest.mark.parametrize(
    ("entropy", "rewards", "fires"),
    [
        (FALLING, [0.4] * 6, True),
        (FALLING, [0.2, 0.2, 0.2, 0.5, 0.5, 0.5], False),  # it still learns
        (FALLING, [0.85] * 6, False),  # it has learned
        ([1.0, 1.0, 0.6, 0.4, 0.3, 0.3], [0.4] * 6, False),
        (FALLING[:5], [0.4] * 5, False),
    ],
)
def test_entropy_collapses_when_it_buys_nothing(entropy: list[float], rewards: list[float], fires: bool) -> None:
    told = {"train__entropy": entropy, "train_reward_mean": rewards, "train_reward_stderr": [0.1] * len(entropy)}
    alike, apart = ([share] * len(entropy) for share in (0.75, 0.25))
    assert (entropy_collapse(steps(**told, zero_variance_share=alike)) is not None) is fires
    assert entropy_collapse(steps(**told, zero_variance_share=apart)) is None


def test_sampler_and_trainer_that_disagree_are_told() -> None:
    found = [mismatch(steps(train__mismatch_kl=[kl], train__tokens=[5000.0])) for kl in (0.01, 0.011, 0.051)]
    assert [alert and alert.severity for alert in found] == [None, Severity.WARN, Severity.SERIOUS]
    assert mismatch(steps(train__mismatch_kl=[0.5], train__tokens=[100.0])) is None


def test_few_effective_samples_are_told() -> None:
    found = [
        few_effective_samples(steps(train__effective_sample_share=[share], train__tokens=[5000.0]))
        for share in (0.5, 0.49)
    ]
    assert [alert is not None for alert in found] == [False, True]


@pytest.mark.parametrize(
    ("flat", "passed", "says"),
    [([1.0] * 3, [1.0] * 3, "solved"), ([1.0] * 3, [0.0] * 3, "too hard"), ([0.75, 1.0, 0.5], [0.0] * 3, None)],
)
def test_groups_without_signal_are_told_with_the_reason(flat: list[float], passed: list[float], says: str) -> None:
    history = steps(zero_variance_share=flat, zero_variance_all_pass_share=passed, groups_total=[4.0] * 3)
    found = no_signal(history)
    assert (says in found.message) if found else says is None
    short = History(history.observations[:2])
    assert no_signal(short) is None  # eight groups


def test_a_gradient_is_compared_with_those_before_it() -> None:
    assert gradient_spike(steps(train__grad_norm=[0.2, 0.1, 0.3, 0.2, 0.2, 1.01])) is not None
    assert gradient_spike(steps(train__grad_norm=[0.2, 0.1, 0.3, 0.2, 0.2, 1.0])) is None
    assert gradient_spike(steps(train__grad_norm=[0.2, 0.2, 0.2, 0.2, 9.0])) is None


def test_the_least_likely_episodes_come_first() -> None:
    likely, unlikely, silent = an_episode(), an_episode(), an_episode(sampled_tokens=0)
    unlikely = replace(unlikely, tokens=replace(unlikely.tokens, logps=(0.0,) * 3 + (-2.0,) * 4))
    ordered = unlikeliest([a_graded_episode(1.0, each) for each in (silent, likely, unlikely)])
    assert [each.episode for each in ordered] == [unlikely, likely, silent]
