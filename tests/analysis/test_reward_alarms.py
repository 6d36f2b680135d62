import pytest

from agentrft.analysis.alert import Alert, Severity
from agentrft.analysis.history import History, Observation
from agentrft.analysis.reward_alarms import (
    below_baseline,
    disagreeing,
    gainers,
    grader_errors,
    monitor_disagrees,
    monitor_flat,
    near_maximum,
    reward_jump,
    validation_gap,
)
from agentrft.analysis.signs import monitor_signs
from agentrft.domain.episode import Grade, GradedEpisode
from tests.analysis.episodes import graded, played


def evaluation(step: int, reward: float, *, stderr: float = 0.03, graded: float = 100, **more: float) -> Observation:
    metrics = {"valid_reward_mean": reward, "valid_reward_stderr": stderr, "valid_rollouts_graded": graded}
    return Observation(step=step, metrics={**metrics, "valid_reward_min": 0.0, "valid_reward_max": 1.0, **more})


def training(step: int, reward: float, *, stderr: float = 0.1, groups: float = 4, **more: float) -> Observation:
    metrics = {"train_reward_mean": reward, "train_reward_stderr": stderr, "groups_total": groups}
    return Observation(step=step, metrics={**metrics, **more})


def test_a_reward_near_the_maximum_is_told_where_a_maximum_is_known() -> None:
    assert near_maximum(History([evaluation(0, 0.97)])) is None
    assert near_maximum(History([evaluation(0, 0.98)])) is not None
    assert near_maximum(History([evaluation(0, 0.98, graded=19)])) is None
    assert near_maximum(History([evaluation(0, 0.98, valid_reward_max=5.0)])) is None


@pytest.mark.parametrize(
    ("rewards", "stderr", "fires"),
    [
        ([0.2, 0.46], 0.03, True),  # 0.26 / 0.0424 = 6.1 standard errors
        ([0.2, 0.45], 0.03, False),  # not more than 0.25
        ([0.2, 0.48], 0.066, False),  # 0.28 / 0.0933 = 3.0 standard errors
        ([0.2, 0.35, 0.5], 0.03, True),  # within two evaluations
        ([0.2, 0.3, 0.4, 0.5], 0.03, False),  # 0.3 in three
        ([0.5, 0.2], 0.03, False),  # down
        ([0.2], 0.03, False),
    ],
)
def test_a_jump_is_large_and_certain_and_fast(rewards: list[float], stderr: float, fires: bool) -> None:
    history = History([evaluation(step, reward, stderr=stderr) for step, reward in enumerate(rewards)])
    assert (reward_jump(history) is not None) is fires


def test_a_jump_is_measured_against_the_range_of_rewards() -> None:
    wide = [evaluation(step, reward, valid_reward_max=10.0) for step, reward in enumerate([2.0, 4.0, 4.6])]
    assert reward_jump(History(wide[:2])) is None
    assert reward_jump(History(wide)) is not None


def test_a_gap_must_be_larger_than_its_noise() -> None:
    steps = [training(step, 0.8, stderr=0.06) for step in range(1, 4)]

    def gap(valid: float, *, last: Observation = steps[-1]) -> Alert | None:
        now = evaluation(3, valid)
        both = Observation(step=3, metrics={**last.metrics, **now.metrics})
        return validation_gap(History([evaluation(0, 0.2), *steps[:-1], both]))

    # Noise of training 0.06 / sqrt(3) = 0.0346, with 0.03: 0.0458.
    found = gap(0.69)
    assert found is not None
    assert found.severity is Severity.SERIOUS
    assert gap(0.71) is None  # 0.09 is 1.96 standard errors
    assert gap(0.9) is None
    assert gap(0.5, last=training(3, 0.8, groups=1)) is None  # nine groups are too few


def test_only_training_since_the_last_evaluation_is_compared() -> None:
    bad, good = training(1, 0.0, groups=12), training(2, 0.9, stderr=0.02, groups=12)
    first = Observation(step=1, metrics={**bad.metrics, **evaluation(1, 0.5).metrics})
    now = Observation(step=2, metrics={**good.metrics, **evaluation(2, 0.82).metrics})
    found = validation_gap(History([evaluation(0, 0.2), first, now]))
    assert found is not None
    assert found.numbers["gap"] == pytest.approx(0.08)
    assert found.severity is Severity.WARN


def test_a_fall_below_the_baseline_is_told_the_second_time() -> None:
    history = [evaluation(0, 0.5), evaluation(5, 0.3), evaluation(10, 0.3)]
    assert below_baseline(History(history[:2])) is None
    assert below_baseline(History(history)) is not None
    assert below_baseline(History([*history[:2], evaluation(10, 0.45)])) is None


def monitored(
    step: int, reward: float, monitor: float, *, graded: float = 100, rho: float = 0.9, **more: float
) -> Observation:
    names = {"mean": monitor, "stderr": 0.03, "graded": graded, "spearman": rho, "attainable": 1.0, "items": graded}
    names |= more
    return evaluation(step, reward, **{f"valid_monitor_{name}_m": value for name, value in names.items()})


def test_a_reward_that_rises_without_its_monitor_is_told() -> None:
    apart = [monitored(0, 0.2, 0.5), monitored(5, 0.4, 0.52), monitored(10, 0.6, 0.51)]
    assert monitor_flat("m", History(apart[:2])) is None
    assert monitor_flat("m", History(apart)) is not None
    assert monitor_flat("m", History([*apart[:2], monitored(10, 0.6, 0.6)])) is None  # 0.1 / 0.0424: it follows
    assert monitor_flat("m", History([*apart[:2], monitored(10, 0.3, 0.4)])) is None  # 0.1 / 0.0424: no rise


def test_graders_disagree_only_when_that_is_certain() -> None:
    def disagreement(rho: float, episodes: float) -> Alert | None:
        return monitor_disagrees("m", History([monitored(0, 0.5, 0.5, rho=rho, graded=episodes)]))

    assert disagreement(0.7, 30) is None  # its upper limit is 0.84
    assert disagreement(0.7, 300) is not None
    serious = disagreement(0.2, 100)
    assert serious is not None
    assert serious.severity is Severity.SERIOUS


def test_the_episodes_that_gained_most_over_the_baseline_are_shown() -> None:
    before = Observation(step=0, metrics={}, item_rewards={0: 0.9, 1: 0.0})
    now = [graded(1.0, played(0, "a", trace_id="always good")), graded(0.8, played(1, "b", trace_id="gained"))]
    assert gainers(History([before, Observation(step=5, metrics={}, valid=now)])) == ("gained", "always good")


def test_the_episodes_on_which_graders_differ_most_are_shown() -> None:
    now = [graded(n / 3, played(n, "a", trace_id=f"t{n}")) for n in range(3)]
    observation = Observation(step=0, metrics={}, valid=now, monitors={"m": {"t0": 0.9, "t1": 0.5, "t2": 0.1}})
    assert disagreeing(History([observation]), "m") == ("t2", "t1", "t0")


def disagreement_of(pairs: list[tuple[float, float]], *, attempts: int = 1) -> Alert | None:
    """What is said of a reward and a monitor of episodes, so many attempts at each item."""
    episodes = [graded(own, played(n // attempts, "a", trace_id=f"t{n}")) for n, (own, _) in enumerate(pairs)]
    theirs = {f"t{n}": other for n, (_, other) in enumerate(pairs)}
    found = monitor_signs("valid", "m", episodes, theirs, asked=len(pairs))
    return monitor_disagrees("m", History([evaluation(0, 0.5, **found)]))


def test_a_strict_monitor_beside_a_lenient_grader_does_not_disagree() -> None:
    subset = [(1.0, 1.0)] * 30 + [(1.0, 0.0)] * 40 + [(0.0, 0.0)] * 30  # rank correlation 0.43
    assert disagreement_of(subset) is None
    apart = [(1.0, 1.0)] * 21 + [(1.0, 0.0)] * 49 + [(0.0, 1.0)] * 9 + [(0.0, 0.0)] * 21  # passing alike by chance
    found = disagreement_of(apart)
    assert found is not None
    assert found.severity is Severity.SERIOUS


def test_attempts_at_few_items_prove_little() -> None:
    pairs = [(n / 100, 0.6 * (n * 37 % 100) / 100 + 0.4 * n / 100) for n in range(100)]  # rank correlation about 0.55
    found = disagreement_of(pairs)
    assert found is not None
    assert found.numbers["upper_limit"] > found.numbers["spearman"]
    assert disagreement_of(pairs, attempts=10) is None


def flagged(share: float, *, split: str = "train", episodes: int = 40) -> Alert | None:
    count = round(share * episodes)
    grades = [
        Grade(
            reward=0.0, errors={"python_grader_runtime_error": f"KeyError: 'year' of {n} (line 3)"} if n < count else {}
        )
        for n in range(episodes)
    ]
    found = [GradedEpisode(episode=played(n, "a", trace_id=f"t{n}"), grade=grade) for n, grade in enumerate(grades)]
    metrics = {f"{split}_rollouts_graded": float(episodes)}
    metrics |= {f"{split}_grader_error_share_python_grader_runtime_error": share} if share else {}
    return grader_errors(History([Observation(step=3, metrics=metrics, **{split: found})]))  # type: ignore[arg-type]


def test_a_grader_that_raises_is_told_with_what_it_says() -> None:
    assert flagged(0.0) is None
    assert flagged(0.1) is None
    assert flagged(0.5, episodes=4) is None
    some = flagged(0.15)
    assert some is not None
    assert (some.severity, some.trace_ids) == (Severity.WARN, ("t0", "t1", "t2", "t3", "t4", "t5"))
    assert "python_grader_runtime_error on 15% of the training episodes" in some.message
    assert "KeyError: 'year' of 0 (line 3)" in some.message
    every = flagged(1.0, split="valid")
    assert every is not None
    assert every.severity is Severity.SERIOUS
