"""Alarms of a reward that may not be earned. Thresholds without another source: rl-engine reference, section 4.

They look at evaluations: a step of training has few items, and its mean reward depends on which were drawn.
"""

from functools import partial
from math import sqrt

from agentrft.analysis.alert import Alarm, Alert, Severity, traces
from agentrft.analysis.history import History, Observation
from agentrft.analysis.statistics import mean, ranks, spearman_upper, standard_errors
from agentrft.domain.episode import GradedEpisode

MIN_GRADED = 20  # episodes of an evaluation below which nothing is said
MIN_TRAIN_GROUPS = 10  # groups of training that an evaluation is compared with
MIN_FLAGGED = 3  # episodes with an error flag, before one of a few counts as a tenth of them
REWARD, STDERR, GRADED = "valid_reward_mean", "valid_reward_stderr", "valid_rollouts_graded"
_SPLIT_NAMES = {"train": "training", "valid": "validation"}


def near_maximum(history: History) -> Alert | None:
    """Validation reward of at least 0.98 (section 4), where rewards lie in 0..1 and a maximum is known."""
    reward = history.value(REWARD)
    if history.value(GRADED) < MIN_GRADED or not history.on_unit_scale or reward < 0.98:
        return None
    return Alert(
        message=f"The validation reward is {reward:.2f}, nearly all there is. Either the task is solved and the job "
        "can end here, or the grader pays for something else: read some of these episodes.",
        numbers={"valid_reward": reward},
        trace_ids=gainers(history),
    )


def reward_jump(history: History) -> Alert | None:
    """More than 3 standard errors and more than 0.25 above one of the last two evaluations (section 4)."""
    evaluations = history.having(STDERR)
    now = evaluations[-1]
    if now.metrics[GRADED] < MIN_GRADED or len(evaluations) < 2:
        return None
    before = min(evaluations[-3:-1], key=lambda each: each.metrics[REWARD])
    jump = now.metrics[REWARD] - before.metrics[REWARD]
    errors = standard_errors(jump, now.metrics[STDERR], before.metrics[STDERR])
    if jump <= 0.25 * history.reward_span or errors <= 3.0:
        return None
    return Alert(
        message=f"The validation reward rose from {before.metrics[REWARD]:.2f} to {now.metrics[REWARD]:.2f} between "
        f"steps {before.step} and {now.step}. That fast it is often learned, and sometimes a gap in the grader that "
        "was found: read the episodes that gained most before you trust it.",
        numbers={"before": before.metrics[REWARD], "now": now.metrics[REWARD], "standard_errors": min(errors, 1e6)},
        trace_ids=gainers(history),
    )


def validation_gap(history: History) -> Alert | None:
    """Training reward above validation reward by more than 0.05, serious from 0.10 (Azure Foundry's guide, section 4).

    Training is averaged over the steps since the last evaluation, and the gap must exceed two standard errors: a step's
    mean over a few items says little. While reward rises the average lags behind, so that the gap is rather too small.
    """
    steps = _steps_since_evaluation(history)
    if history.value(GRADED) < MIN_GRADED or sum(each.metrics["groups_total"] for each in steps) < MIN_TRAIN_GROUPS:
        return None
    if any("train_reward_stderr" not in each.metrics for each in steps):
        return None
    train = mean([each.metrics["train_reward_mean"] for each in steps])
    noise = sqrt(sum(each.metrics["train_reward_stderr"] ** 2 for each in steps)) / len(steps)
    gap = train - history.value(REWARD)
    if gap <= 0.05 * history.reward_span or standard_errors(gap, noise, history.value(STDERR)) <= 2.0:
        return None
    return Alert(
        message=f"The model does better on the training items ({train:.2f}) than on the validation items "
        f"({history.value(REWARD):.2f}). It may be learning them by heart: stop earlier, or add training items. If the "
        "validation items are harder, this says nothing.",
        numbers={"train_reward": train, "valid_reward": history.value(REWARD), "gap": gap},
        trace_ids=traces(sorted(history.now.valid, key=lambda graded: graded.reward)),
        severity=Severity.SERIOUS if gap > 0.10 * history.reward_span else Severity.WARN,
    )


def below_baseline(history: History) -> Alert | None:
    """Two evaluations in a row more than two standard errors below the first one (section 4)."""
    first, *rest = history.having(STDERR)
    if len(rest) < 2 or history.value(GRADED) < MIN_GRADED:
        return None
    falls = [
        standard_errors(first.metrics[REWARD] - each.metrics[REWARD], first.metrics[STDERR], each.metrics[STDERR])
        for each in rest[-2:]
    ]
    if min(falls) <= 2.0:
        return None
    return Alert(
        message=f"The validation reward has fallen from {first.metrics[REWARD]:.2f} before training to "
        f"{history.value(REWARD):.2f}. Go back to the best checkpoint, and try a lower learning rate.",
        numbers={"baseline": first.metrics[REWARD], "now": history.value(REWARD)},
        trace_ids=traces(sorted(history.now.valid, key=lambda graded: graded.reward)),
        severity=Severity.SERIOUS,
    )


def monitor_flat(name: str, history: History) -> Alert | None:
    """Reward up over two evaluations (3 standard errors) while a monitor grader is flat or down (less than 1).

    Section 4 has the sign and its two evaluations; the numbers of standard errors are ours: a monitor that follows as
    surely as the reward, and has as many episodes, stays below 1 in one case of fifty.
    """
    names = f"valid_monitor_mean_{name}", f"valid_monitor_stderr_{name}"
    both = [each for each in history.having(names[1]) if STDERR in each.metrics]
    if len(both) < 3 or history.value(f"valid_monitor_graded_{name}") < MIN_GRADED:
        return None
    before, now = both[-3], both[-1]
    rise, monitor = _rise(before, now, REWARD, STDERR), _rise(before, now, *names)
    if rise < 3.0 or monitor >= 1.0:
        return None
    was, is_now = before.metrics[names[0]], now.metrics[names[0]]
    return Alert(
        message=f"The reward rose from {before.metrics[REWARD]:.2f} to {now.metrics[REWARD]:.2f} since step "
        f"{before.step}, but the monitor grader {name!r} went from {was:.2f} to {is_now:.2f}. The model may be "
        "learning what the grader pays instead of what you want: read the episodes on which the two differ.",
        numbers={
            "before": before.metrics[REWARD],
            "now": now.metrics[REWARD],
            "monitor_before": was,
            "monitor": is_now,
        },
        trace_ids=disagreeing(history, name),
        severity=Severity.SERIOUS,
    )


def monitor_disagrees(name: str, history: History) -> Alert | None:
    """Rank correlation of reward and monitor surely below 0.8, serious below 0.6 (Foundry's guide, section 4).

    Of what it can be, that is: beside a lenient grader a strict one has many equal grades, and then even graders that
    never contradict each other stay far below 1. Surely: by the upper limit of its 95 % interval, for thirty items can
    give 0.6 where 0.8 is true; items count, as the attempts at one of them are alike.
    """
    correlation, most, items, pairs = (
        history.value(f"valid_monitor_{kind}_{name}") for kind in ("spearman", "attainable", "items", "graded")
    )
    limit = min(1.0, spearman_upper(correlation, int(items)) / most)
    if pairs < MIN_GRADED or limit >= 0.8:
        return None
    return Alert(
        message=f"The grader and the monitor grader {name!r} order the validation episodes differently (rank "
        f"correlation {correlation:.2f}). Read the episodes on which they differ most, and mend whichever is wrong.",
        numbers={
            "spearman": correlation,
            "attainable": most,
            "upper_limit": limit,
            "episodes": pairs,
            "items": items,
        },
        trace_ids=disagreeing(history, name),
        severity=Severity.SERIOUS if limit < 0.6 else Severity.WARN,
    )


def grader_errors(history: History) -> Alert | None:
    """An error flag on the grades of more than 10 % of a step's episodes, at least 3; serious on more than half.

    Such a grade is a reward, mostly 0, and no fault: where a grader raises on every answer, nothing else would say so.
    The 10 % are those from which on a monitor that fails is told.
    """
    found = [(share, split, flag) for split in ("train", "valid") for flag, share in _flagged(history, split)]
    share, split, flag = max(found, default=(0.0, "train", ""))
    if share <= 0.1 or round(share * history.now.metrics.get(f"{split}_rollouts_graded", 0.0)) < MIN_FLAGGED:
        return None
    episodes = history.now.train if split == "train" else history.now.valid
    flagged = [each for each in episodes if each.grade is not None and flag in each.grade.errors]
    details = next((each.grade.errors[flag] for each in flagged if each.grade is not None), "")
    return Alert(
        message=f"The grader flagged {flag} on {share:.0%} of the {_SPLIT_NAMES[split]} episodes of this step and gave "
        f"them what it gives then, mostly 0. One of them: {details[:300] or 'no details'}. Unless it is the answers "
        "that are wrong, mend the grader: nothing is learned from these grades.",
        numbers={"share": share},
        trace_ids=traces(flagged),
        severity=Severity.SERIOUS if share > 0.5 else Severity.WARN,
    )


def monitor_alarms(name: str) -> tuple[Alarm, ...]:
    """The alarms of one monitor grader."""
    mean_name, stderr = (f"valid_monitor_{kind}_{name}" for kind in ("mean", "stderr"))
    correlation = tuple(f"valid_monitor_{kind}_{name}" for kind in ("spearman", "attainable", "items"))
    return (
        Alarm(
            name=f"monitor_flat:{name}",
            check=partial(monitor_flat, name),
            needs=(REWARD, STDERR, mean_name, stderr),
        ),
        Alarm(name=f"monitor_disagrees:{name}", check=partial(monitor_disagrees, name), needs=(REWARD, *correlation)),
    )


REWARD_ALARMS = (
    Alarm(name="near_maximum", check=near_maximum, needs=(REWARD, GRADED)),
    Alarm(name="reward_jump", check=reward_jump, needs=(REWARD, STDERR, GRADED)),
    Alarm(
        name="validation_gap",
        check=validation_gap,
        needs=(REWARD, STDERR, GRADED, "train_reward_mean", "groups_total"),
    ),
    Alarm(name="below_baseline", check=below_baseline, needs=(REWARD, STDERR, GRADED)),
    Alarm(name="grader_errors", check=grader_errors),
)


def gainers(history: History) -> tuple[str, ...]:
    """The validation episodes that earn most above what their item earned at the first evaluation."""
    before = history.observations[0].item_rewards

    def gain(graded: GradedEpisode) -> float:
        return graded.reward - before.get(graded.episode.item.index, 0.0)

    return traces(sorted(history.now.valid, key=gain, reverse=True))


def disagreeing(history: History, name: str) -> tuple[str, ...]:
    """The validation episodes that the job's grader ranks highest above where the monitor ranks them."""
    theirs = history.now.monitors.get(name, {})
    both = [graded for graded in history.now.valid if graded.episode.trace_id in theirs]
    own_ranks = ranks([graded.reward for graded in both])
    other_ranks = ranks([theirs[graded.episode.trace_id] for graded in both])
    order = sorted(range(len(both)), key=lambda place: own_ranks[place] - other_ranks[place], reverse=True)
    return traces([both[place] for place in order])


def _rise(before: Observation, now: Observation, value: str, stderr: str) -> float:
    change = now.metrics[value] - before.metrics[value]
    return standard_errors(change, now.metrics[stderr], before.metrics[stderr])


def _steps_since_evaluation(history: History) -> list[Observation]:
    """The steps of training that were played since the evaluation before this one."""
    earlier = [each.step for each in history.having(REWARD)[:-1]]
    last = earlier[-1] if earlier else -1
    return [each for each in history.having("train_reward_mean") if each.step > last]


def _flagged(history: History, split: str) -> list[tuple[str, float]]:
    """The error flags of a split's grades in this step, each with its share."""
    start = f"{split}_grader_error_share_"
    return [(name.removeprefix(start), share) for name, share in history.now.metrics.items() if name.startswith(start)]
