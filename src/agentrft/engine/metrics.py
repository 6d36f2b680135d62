"""What a step was like, as one flat dictionary of numbers; whoever shows or stores a step reads these names.

A name is absent where its value is undefined (the mean of nothing). Shares lie in 0..1. `<split>`: `train` or `valid`.
Quantiles are by nearest rank (summaries.py): below 20 values the 95th percentile is the largest.

Of the graded attempts (those without a fault):

    <split>_reward_mean, <split>_reward_stderr      standard error clustered by item; absent with a single item
    <split>_grader_mean_<grader>                    mean of each part of a grade
    <split>_grader_error_share_<flag>               grades that carry this flag, such as a sample that does not parse
    <split>_grading_s_mean                          seconds per grade
    <split>_grading_s_<quantile>                    ... and their p50, p95 and p99
    <split>_judge_<kind>_tokens_<model>             sum by judge model; kinds: prompt, completion, cached
    <split>_tool_calls_mean                         calls per episode, as the policy wrote them
    <split>_tool_calls_mean_<tool>                  calls per episode of one tool
    <split>_malformed_calls_share                   calls that could not be made: not to be read, not fitting the
                                                    schema, or one too many in a turn that may have one
    <split>_unknown_tool_calls_share                calls of a tool that there is not
    <split>_tool_errors_share                       results that told the model of an error
    <split>_tool_output_tokens_mean                 tokens shown to the model per result
    <split>_tool_latency_s_mean                     seconds per reply of a tool's endpoint
    <split>_tool_latency_s_mean_<tool>              seconds per reply of one tool
    <split>_tool_latency_s_<quantile>               ... and their p50, p95 and p99
    <split>_tool_latency_s_<quantile>_<tool>
    <split>_output_tokens_mean                      sampled tokens per episode, reasoning included
    <split>_reasoning_tokens_mean                   sampled tokens per episode inside reasoning
    <split>_turns_mean                              generations per episode
    <split>_episode_s_mean                          seconds per episode
    <split>_answered_share                          episodes that ended with an answer
    <split>_stop_share_<reason>                     episodes by StopReason

Of all attempts:

    <split>_rollouts_total                          attempts made
    <split>_rollouts_graded                         those with a reward
    <split>_rollouts_discarded                      those that met a fault
    <split>_faults_<owner>                          count by FaultOwner
    <split>_faults_kind_<kind>                      count by FaultKind, where there were any
    <split>_faults_at_<name>                        count by the tool, grader or part of ours that failed
    <split>_grading_faults_<kind>_at_<name>         count by FaultKind and by the part of the grader that failed
    <split>_replies_of_<tool>                       calls of one tool that its endpoint answered
    <split>_error_count_<tool>                      OpenAI's name: faults of a tool per call of it (a rate)
    <split>_grading_fault_share                     faults of the grader per grading
    <split>_sampled_tokens                          sum
    <split>_tokens                                  sum, prompts and tool results included

Of the groups of a step:

    groups_total                                    groups explored
    useful_groups_share                             those that are in the loss
    truncated_share                                 graded attempts that ran out of tokens (StopReason.truncated)
    masked_share                                    graded attempts that the guard against these left out of the loss
    group_std_mean                                  mean over groups of the deviation of the rewards within a group
    zero_variance_share                             groups whose rewards are all the same, of those that have a reward
    zero_variance_all_pass_share                    ... and reach Penalty.success
    zero_variance_all_fail_share                    ... and do not
    efficiency_share                                part of the summed absolute advantages owed to the efficiency term

Of the step:

    learning_rate, sampling_s, training_s, eval_s, total_s
    baseline_tokens_per_episode                     L0 of section 1.3 of the rl-engine reference, the same in all steps
    train/loss, train/grad_norm, train/tokens, train/unique_tokens, train/nominal_tokens, train/<metric of the trainer>
"""

from collections.abc import Iterable, Sequence
from math import fsum
from statistics import pstdev

from agentrft.domain.episode import GradedEpisode, Group
from agentrft.domain.job import Penalty
from agentrft.domain.training import Timing, UpdateStats
from agentrft.engine.collect import Batch
from agentrft.engine.credit import accuracy_advantages, advantages
from agentrft.engine.episode_metrics import policy_metrics
from agentrft.engine.fault_metrics import fault_metrics
from agentrft.engine.summaries import Metrics, ratio
from agentrft.ports import Evaluation


def step_metrics(
    *,
    timing: Timing,
    penalty: Penalty,
    batch: Batch | None = None,
    stats: UpdateStats | None = None,
    evaluation: Evaluation | None = None,
) -> Metrics:
    """All that can be said of a step from the parts it had."""
    metrics = timing_metrics(timing)
    if batch is not None:
        metrics |= episode_metrics("train", batch.episodes) | batch_metrics(batch, penalty)
    if stats is not None:
        metrics |= update_metrics(stats)
    if evaluation is not None:
        metrics |= episode_metrics("valid", evaluation.episodes)
    return metrics


def episode_metrics(split: str, episodes: Sequence[GradedEpisode]) -> Metrics:
    """Everything that is named `<split>_...`."""
    found = policy_metrics([graded for graded in episodes if graded.valid]) | fault_metrics(episodes)
    return {f"{split}_{name}": value for name, value in found.items()}


def batch_metrics(batch: Batch, penalty: Penalty) -> Metrics:
    """What the groups of a step, and the credit given in them, were like."""
    judged = [group for group in batch.groups if group.valid]
    rewards = [[graded.reward for graded in group.valid] for group in judged]
    flat = [group.valid[0].reward for group in judged if not group.has_signal]
    passed = sum(reward >= penalty.success for reward in flat)
    graded = [each for group in batch.groups for each in group.valid]
    truncated = sum(each.episode.stop.truncated for each in graded)
    return {
        "groups_total": float(len(batch.groups)),
        **ratio("useful_groups_share", len(batch.useful), len(batch.groups)),
        **ratio("group_std_mean", fsum(pstdev(group) for group in rewards), len(rewards)),
        **ratio("zero_variance_share", len(flat), len(judged)),
        **ratio("zero_variance_all_pass_share", passed, len(judged)),
        **ratio("zero_variance_all_fail_share", len(flat) - passed, len(judged)),
        **ratio("truncated_share", truncated, len(graded)),
        **ratio("masked_share", truncated if batch.mask_truncated else 0, len(graded)),
        **_efficiency_share(batch.useful, penalty),
    }


def update_metrics(stats: UpdateStats) -> Metrics:
    """What the trainer reports, under `train/`."""
    own = {
        "loss": stats.loss,
        "grad_norm": stats.grad_norm,
        "tokens": float(stats.tokens),
        "unique_tokens": float(stats.unique_tokens),
        "nominal_tokens": float(stats.nominal_tokens),
    }
    return {f"train/{name}": value for name, value in (own | dict(stats.metrics)).items()}


def timing_metrics(timing: Timing) -> Metrics:
    """Seconds of the step by part."""
    return {
        "sampling_s": timing.sampling_s,
        "training_s": timing.training_s,
        "eval_s": timing.eval_s,
        "total_s": timing.total_s,
    }


def mean_sampled_tokens(episodes: Iterable[GradedEpisode]) -> float | None:
    """Sampled tokens per graded episode, or None where none was graded."""
    counts = [graded.episode.sampled_tokens for graded in episodes if graded.valid]
    return sum(counts) / len(counts) if counts else None


def _efficiency_share(groups: Iterable[Group], penalty: Penalty) -> Metrics:
    total = by_efficiency = 0.0
    for group in groups:
        for advantage, accuracy in zip(advantages(group, penalty), accuracy_advantages(group), strict=True):
            total += abs(advantage)
            by_efficiency += abs(advantage - accuracy)
    return {"efficiency_share": by_efficiency / total} if total else {}
