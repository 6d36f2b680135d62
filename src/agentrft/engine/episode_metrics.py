"""What the policy did, in numbers: rewards, tokens, tool calls of the attempts that say something about it."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from math import fsum

from agentrft.analysis.statistics import clustered_stderr
from agentrft.domain.episode import GradedEpisode, StopReason, TokenKind, TokenUsage, ToolCall, ToolResult
from agentrft.engine.summaries import Metrics, ratio, spread


def policy_metrics(valid: Sequence[GradedEpisode]) -> Metrics:
    """Of graded attempts alone: as if those that met a fault had not been made."""
    return _rewards(valid) | _judges(valid) | _policy(valid) | _tools(valid)


def _rewards(valid: Sequence[GradedEpisode]) -> Metrics:
    found = ratio("reward_mean", fsum(graded.reward for graded in valid), len(valid)) | _stderr(valid)
    parts: defaultdict[str, list[float]] = defaultdict(list)
    flags: Counter[str] = Counter()
    for graded in valid:
        assert graded.grade is not None
        flags.update(graded.grade.errors.keys())
        for name, value in graded.grade.parts.items():
            parts[name].append(value)
    for name, values in parts.items():
        found |= ratio(f"grader_mean_{name}", fsum(values), len(values))
    for name, count in flags.items():
        found |= ratio(f"grader_error_share_{name}", count, len(valid))
    return found | spread("grading_s", [graded.grade.latency_s for graded in valid if graded.grade is not None])


def _judges(valid: Sequence[GradedEpisode]) -> Metrics:
    usage: defaultdict[str, TokenUsage] = defaultdict(TokenUsage)
    for graded in valid:
        for model, used in graded.grade.usage.items() if graded.grade else ():
            usage[model] += used
    found: Metrics = {}
    for model, used in usage.items():
        found[f"judge_prompt_tokens_{model}"] = float(used.prompt_tokens)
        found[f"judge_completion_tokens_{model}"] = float(used.completion_tokens)
        found[f"judge_cached_tokens_{model}"] = float(used.cached_tokens)
    return found


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
        **ratio("output_tokens_mean", sum(episode.sampled_tokens for episode in episodes), count),
        **ratio("reasoning_tokens_mean", sum(episode.reasoning_tokens for episode in episodes), count),
        **ratio("turns_mean", sum(len(episode.turns) for episode in episodes), count),
        **ratio("episode_s_mean", fsum(episode.latency_s for episode in episodes), count),
        **ratio("answered_share", answered, count),
        **{f"stop_share_{reason}": number / count for reason, number in stops.items()},
    }


def _tools(valid: Sequence[GradedEpisode]) -> Metrics:
    calls = [call for graded in valid for turn in graded.episode.turns for call in turn.message.tool_calls]
    results = list(tool_results(valid))
    shown = sum(kind is TokenKind.TOOL for graded in valid for kind in graded.episode.tokens.kinds)
    found = {
        **ratio("tool_calls_mean", len(calls), len(valid)),
        **ratio("malformed_calls_share", _malformed(valid), len(calls)),
        **ratio("tool_errors_share", sum(result.is_error for result in results), len(results)),
        **ratio("tool_output_tokens_mean", shown, len(results)),
        **_latency(results),
    }
    unknown = sum(call.name not in offered for call, offered in _offers(valid))
    found |= ratio("unknown_tool_calls_share", unknown, len(calls))
    for name in tool_names(valid):
        found |= ratio(f"tool_calls_mean_{name}", sum(call.name == name for call in calls), len(valid))
        found |= _latency([result for result in results if result.name == name], of=name)
    return found


def _malformed(valid: Iterable[GradedEpisode]) -> int:
    """Calls that were refused before they were sent, but for those of tools that there are not."""
    count = 0
    for graded in valid:
        offered = {tool.name for tool in graded.episode.item.tools}
        for turn in graded.episode.turns:
            refused = {result.call_id for result in turn.results if not result.sent}
            calls = turn.message.tool_calls
            count += sum(each.error is not None or (each.call_id in refused and each.name in offered) for each in calls)
    return count


def _latency(results: Sequence[ToolResult], *, of: str = "") -> Metrics:
    return spread("tool_latency_s", [result.latency_s for result in results if result.sent], of=of)


def _offers(episodes: Iterable[GradedEpisode]) -> Iterator[tuple[ToolCall, set[str]]]:
    """Every call that could be read, with the names of the tools that there were."""
    for graded in episodes:
        names = {tool.name for tool in graded.episode.item.tools}
        for turn in graded.episode.turns:
            yield from ((call, names) for call in turn.message.tool_calls if call.error is None)


def tool_results(episodes: Iterable[GradedEpisode]) -> Iterator[ToolResult]:
    return (result for graded in episodes for turn in graded.episode.turns for result in turn.results)


def tool_names(episodes: Iterable[GradedEpisode]) -> list[str]:
    """The tools that were offered: names that a policy makes up would flood the metrics."""
    return sorted({tool.name for graded in episodes for tool in graded.episode.item.tools})
