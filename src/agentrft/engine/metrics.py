"""What a step was like, as one flat dictionary of numbers; whoever shows or stores a step reads these names.

A name is absent where its value is undefined (the mean of nothing). Shares lie in 0..1. `<split>`: `train` or `valid`.

Of the graded attempts (those without a fault):

    <split>_reward_mean, <split>_reward_stderr      standard error clustered by item; absent with a single item
    <split>_grader_mean_<grader>                    mean of each part of a grade
    <split>_grader_error_share_<flag>               grades that carry this flag, such as a sample that does not parse
    <split>_grading_s_mean                          seconds per grade
    <split>_tool_calls_mean                         calls per episode, as the policy wrote them
    <split>_tool_calls_mean_<tool>                  calls per episode of one tool
    <split>_malformed_calls_share                   calls that could not be read
    <split>_tool_errors_share                       results that told the model of an error
    <split>_tool_output_tokens_mean                 tokens shown to the model per result
    <split>_tool_latency_s_mean                     seconds per result
    <split>_tool_latency_s_mean_<tool>              seconds per result of one tool
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
    <split>_faults_at_<name>                        count by the tool, grader or part of ours that failed
    <split>_error_count_<tool>                      OpenAI's name: faults of a tool per call of it (a rate)
    <split>_sampled_tokens                          sum
    <split>_tokens                                  sum, prompts and tool results included

Of the groups of a step:

    groups_total                                    groups explored
    useful_groups_share                             those that are in the loss
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

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from math import fsum
from statistics import pstdev

from agentrft.analysis.statistics import clustered_stderr
from agentrft.domain.episode import GradedEpisode, Group, StopReason, TokenKind, ToolResult
from agentrft.domain.faults import Fault, FaultOwner
from agentrft.domain.job import Penalty
from agentrft.domain.training import Timing, UpdateStats
from agentrft.engine.collect import Batch
from agentrft.engine.credit import accuracy_advantages, advantages
from agentrft.ports import Evaluation

Metrics = dict[str, float]


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
    valid = [graded for graded in episodes if graded.valid]
    found = _rewards(valid) | _policy(valid) | _tools(valid) | _rollouts(episodes) | _faults(episodes)
    return {f"{split}_{name}": value for name, value in found.items()}


def batch_metrics(batch: Batch, penalty: Penalty) -> Metrics:
    """What the groups of a step, and the credit given in them, were like."""
    judged = [group for group in batch.groups if group.valid]
    rewards = [[graded.reward for graded in group.valid] for group in judged]
    flat = [group.valid[0].reward for group in judged if not group.has_signal]
    passed = sum(reward >= penalty.success for reward in flat)
    return {
        "groups_total": float(len(batch.groups)),
        **_ratio("useful_groups_share", len(batch.useful), len(batch.groups)),
        **_ratio("group_std_mean", fsum(pstdev(group) for group in rewards), len(rewards)),
        **_ratio("zero_variance_share", len(flat), len(judged)),
        **_ratio("zero_variance_all_pass_share", passed, len(judged)),
        **_ratio("zero_variance_all_fail_share", len(flat) - passed, len(judged)),
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


def _ratio(name: str, total: float, count: int) -> Metrics:
    return {name: total / count} if count else {}


def _rewards(valid: Sequence[GradedEpisode]) -> Metrics:
    found = _ratio("reward_mean", fsum(graded.reward for graded in valid), len(valid)) | _stderr(valid)
    parts: defaultdict[str, list[float]] = defaultdict(list)
    flags: Counter[str] = Counter()
    seconds = 0.0
    for graded in valid:
        assert graded.grade is not None
        seconds += graded.grade.latency_s
        flags.update(graded.grade.errors.keys())
        for name, value in graded.grade.parts.items():
            parts[name].append(value)
    for name, values in parts.items():
        found |= _ratio(f"grader_mean_{name}", fsum(values), len(values))
    for name, count in flags.items():
        found |= _ratio(f"grader_error_share_{name}", count, len(valid))
    return found | _ratio("grading_s_mean", seconds, len(valid))


def _stderr(valid: Sequence[GradedEpisode]) -> Metrics:
    """Attempts at one item are alike, so items are what is counted (clustered errors: arXiv 2411.00640)."""
    items = [graded.episode.item.index for graded in valid]
    stderr = clustered_stderr([graded.reward for graded in valid], items)
    return {} if stderr is None else {"reward_stderr": stderr}


def _policy(valid: Sequence[GradedEpisode]) -> Metrics:
    episodes = [graded.episode for graded in valid]
    count = len(episodes)
    stops = Counter(episode.stop for episode in episodes)
    answered = stops[StopReason.ANSWER]
    return {
        **_ratio("output_tokens_mean", sum(episode.sampled_tokens for episode in episodes), count),
        **_ratio("reasoning_tokens_mean", sum(episode.reasoning_tokens for episode in episodes), count),
        **_ratio("turns_mean", sum(len(episode.turns) for episode in episodes), count),
        **_ratio("episode_s_mean", fsum(episode.latency_s for episode in episodes), count),
        **_ratio("answered_share", answered, count),
        **{f"stop_share_{reason}": number / count for reason, number in stops.items()},
    }


def _tools(valid: Sequence[GradedEpisode]) -> Metrics:
    calls = [call for graded in valid for turn in graded.episode.turns for call in turn.message.tool_calls]
    results = list(_results(valid))
    shown = sum(kind is TokenKind.TOOL for graded in valid for kind in graded.episode.tokens.kinds)
    found = {
        **_ratio("tool_calls_mean", len(calls), len(valid)),
        **_ratio("malformed_calls_share", sum(call.error is not None for call in calls), len(calls)),
        **_ratio("tool_errors_share", sum(result.is_error for result in results), len(results)),
        **_ratio("tool_output_tokens_mean", shown, len(results)),
        **_latency("tool_latency_s_mean", results),
    }
    for name in _tool_names(valid):
        found |= _ratio(f"tool_calls_mean_{name}", sum(call.name == name for call in calls), len(valid))
        found |= _latency(f"tool_latency_s_mean_{name}", [result for result in results if result.name == name])
    return found


def _latency(name: str, results: Sequence[ToolResult]) -> Metrics:
    return _ratio(name, fsum(result.latency_s for result in results), len(results))


def _results(episodes: Iterable[GradedEpisode]) -> Iterator[ToolResult]:
    return (result for graded in episodes for turn in graded.episode.turns for result in turn.results)


def _tool_names(episodes: Iterable[GradedEpisode]) -> list[str]:
    """The tools that were offered: names that a policy makes up would flood the metrics."""
    return sorted({tool.name for graded in episodes for tool in graded.episode.item.tools})


def _rollouts(episodes: Sequence[GradedEpisode]) -> Metrics:
    graded = sum(each.valid for each in episodes)
    return {
        "rollouts_total": float(len(episodes)),
        "rollouts_graded": float(graded),
        "rollouts_discarded": float(len(episodes) - graded),
        "sampled_tokens": float(sum(each.episode.sampled_tokens for each in episodes)),
        "tokens": float(sum(len(each.episode.tokens) for each in episodes)),
    }


def _faults(episodes: Sequence[GradedEpisode]) -> Metrics:
    faults: list[Fault] = [graded.fault for graded in episodes if graded.fault is not None]
    owners = Counter(fault.owner for fault in faults)
    places = Counter(fault.where for fault in faults)
    at_tools = Counter(fault.where for fault in faults if fault.owner is FaultOwner.TOOL_ENDPOINT)
    answered = Counter(result.name for result in _results(episodes))
    found = {f"faults_{owner}": float(owners[owner]) for owner in FaultOwner}
    found |= {f"faults_at_{name}": float(count) for name, count in places.items()}
    for name in _tool_names(episodes):
        found |= _ratio(f"error_count_{name}", at_tools[name], at_tools[name] + answered[name])
    return found


def _efficiency_share(groups: Iterable[Group], penalty: Penalty) -> Metrics:
    total = by_efficiency = 0.0
    for group in groups:
        for advantage, accuracy in zip(advantages(group, penalty), accuracy_advantages(group), strict=True):
            total += abs(advantage)
            by_efficiency += abs(advantage - accuracy)
    return {"efficiency_share": by_efficiency / total} if total else {}
