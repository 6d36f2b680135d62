from agentrft.analysis.history import Observation
from agentrft.analysis.watch import QUIET_CHECKS, Watch

DRIFTED = {"train/mismatch_kl": 0.02, "train/tokens": 5000.0}
BADLY_DRIFTED = {**DRIFTED, "train/mismatch_kl": 0.06}
SOUND = {**DRIFTED, "train/mismatch_kl": 0.001}
UNMEASURED = {"learning_rate": 1e-4}


def spoken(*rows: dict[str, float], watch: Watch | None = None) -> list[list[str]]:
    """Which alarms speak at each step."""
    watch = watch or Watch()
    return [
        [name for name, _ in watch.observe(Observation(step=step, metrics=row))] for step, row in enumerate(rows, 1)
    ]


def test_an_alarm_speaks_once_while_it_is_on_and_again_when_it_gets_serious() -> None:
    assert spoken(DRIFTED, DRIFTED, BADLY_DRIFTED, DRIFTED, BADLY_DRIFTED) == [["mismatch"], [], ["mismatch"], [], []]


def test_an_alarm_that_was_off_for_a_while_speaks_again() -> None:
    assert spoken(DRIFTED, SOUND, DRIFTED) == [["mismatch"], [], []]
    assert spoken(DRIFTED, *[SOUND] * QUIET_CHECKS, DRIFTED)[-1] == ["mismatch"]


def test_a_step_that_does_not_measure_something_says_nothing_about_it() -> None:
    assert spoken(DRIFTED, *[UNMEASURED] * QUIET_CHECKS, DRIFTED) == [["mismatch"], [], [], []]


def test_what_an_earlier_worker_has_said_is_not_said_again() -> None:
    watch = Watch()
    watch.replay([(1, DRIFTED)])
    assert spoken(DRIFTED, BADLY_DRIFTED, watch=watch) == [[], ["mismatch"]]


def test_each_monitor_has_its_own_alarms() -> None:
    signs = {"spearman": 0.1, "attainable": 1.0, "graded": 100.0, "items": 100.0}
    row = {"valid_reward_mean": 0.5, **{f"valid_monitor_{kind}_b": value for kind, value in signs.items()}}
    assert spoken(row, watch=Watch(["a", "b"])) == [["monitor_disagrees:b"]]


def evaluation(reward: float, calls: float, tokens: float, answer: float) -> dict[str, float]:
    return {
        "valid_reward_mean": reward,
        "valid_reward_stderr": 0.035,
        "valid_rollouts_graded": 100.0,
        "valid_reward_min": 0.0,
        "valid_reward_max": 1.0,
        "valid_tool_calls_mean": calls,
        "valid_turns_mean": calls + 1,
        "valid_output_tokens_mean": tokens,
        "valid_answer_tokens_mean": answer,
        "valid_top_answer_share": 0.05,
        "valid_unaided_success_share": 0.0,
        "valid_stop_share_max_turns": max(0.0, 0.3 - reward / 3),
    }


def training(step: int) -> dict[str, float]:
    """A step of the demo: docs/benchmarks.md has the figures at both ends."""
    reward = 0.2 + 0.65 * step / 10 + (0.08 if step % 2 else -0.08)
    return {
        "train_reward_mean": reward,
        "train_reward_stderr": 0.1,
        "train_reward_min": 0.0,
        "train_reward_max": 1.0,
        "train_rollouts_graded": 64.0,
        "groups_total": 4.0,
        "zero_variance_share": 0.5 if step > 6 else 0.0,
        "zero_variance_all_pass_share": 0.5 if step > 6 else 0.0,
        "train/entropy": 0.10 - 0.007 * step,
        "train/mismatch_kl": 0.0005,
        "train/effective_sample_share": 0.98,
        "train/tokens": 6000.0,
        "train/grad_norm": 0.3 if step % 3 else 0.7,
    }


def test_a_healthy_run_is_told_to_be_looked_at_once_for_rising_fast() -> None:
    rows = [evaluation(0.21, 3.79, 131, 15)]
    for step in range(1, 11):
        learned = {5: evaluation(0.62, 2.8, 100, 8), 10: evaluation(0.87, 2.17, 82, 5)}.get(step, {})
        rows.append({**training(step), **learned})
    heard = spoken(*rows)
    assert [name for names in heard for name in names] == ["reward_jump"]
    assert heard[5] == ["reward_jump"]
