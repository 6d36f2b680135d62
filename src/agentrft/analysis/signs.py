"""Figures of a split's episodes that alarms need beside the engine's metrics, under names of the same kind.

<split>_reward_min, <split>_reward_max      of the graded episodes
<split>_answer_tokens_mean                  sampled tokens of the last turn, of episodes that answered
<split>_top_answer_share                    episodes that give the commonest answer, each item counting the same
<split>_unaided_success_share               successes that no tool reply can have helped, of all successes
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from math import fsum

from agentrft.analysis.statistics import clustered_stderr, mean, spearman, spearman_attainable
from agentrft.domain.episode import Episode, GradedEpisode, StopReason

MIN_ITEMS = 10  # different items, before it means anything that their answers are the same
MIN_SUCCESSES = 10
MIN_PAIRS = 20


def signs(split: str, graded: Sequence[GradedEpisode], *, success: float) -> dict[str, float]:
    """All of the above; a name is absent where its value is undefined. `success` is the reward of a success."""
    if not graded:
        return {}
    rewards = [each.reward for each in graded]
    found = {"reward_min": min(rewards), "reward_max": max(rewards)}
    lengths = [each.episode.turns[-1].sampled_tokens for each in graded if answered(each.episode)]
    if lengths:
        found["answer_tokens_mean"] = mean(lengths)
    items = {each.episode.item.index for each in graded if answered(each.episode)}
    if len(items) >= MIN_ITEMS:
        found["top_answer_share"] = top_answer(graded)[1]
    successes = [each for each in graded if each.reward >= success and each.episode.item.tools]
    if len(successes) >= MIN_SUCCESSES:
        found["unaided_success_share"] = sum(is_unaided(each.episode) for each in successes) / len(successes)
    return {f"{split}_{name}": value for name, value in found.items()}


def monitor_signs(
    split: str, name: str, graded: Sequence[GradedEpisode], rewards: dict[str, float], *, asked: int
) -> dict[str, float]:
    """What a monitor grader says of a split: `<split>_monitor_mean_<name>` and how it goes with the job's own grader.

    Args:
        rewards: the monitor's, by trace id.
        asked: how many episodes it was given; the others failed.
    """
    found = {f"{split}_monitor_failed_share_{name}": 1.0 - len(rewards) / asked} if asked else {}
    pairs = [(each.reward, rewards[each.episode.trace_id], each) for each in graded if each.episode.trace_id in rewards]
    if not pairs:
        return found
    ours, theirs = [own for own, _, _ in pairs], [other for _, other, _ in pairs]
    found[f"{split}_monitor_mean_{name}"] = mean(theirs)
    found[f"{split}_monitor_graded_{name}"] = float(len(pairs))
    found[f"{split}_monitor_items_{name}"] = float(len({each.episode.item.index for _, _, each in pairs}))
    stderr = clustered_stderr(theirs, [each.episode.item.index for _, _, each in pairs])
    if stderr is not None:
        found[f"{split}_monitor_stderr_{name}"] = stderr
    correlation, attainable = spearman(ours, theirs), spearman_attainable(ours, theirs)
    if len(pairs) >= MIN_PAIRS and correlation is not None and attainable is not None:
        found[f"{split}_monitor_spearman_{name}"] = correlation
        found[f"{split}_monitor_attainable_{name}"] = attainable
    return found


def item_rewards(graded: Sequence[GradedEpisode]) -> dict[int, float]:
    """The mean reward of each item."""
    rewards: defaultdict[int, list[float]] = defaultdict(list)
    for each in graded:
        rewards[each.episode.item.index].append(each.reward)
    return {item: mean(values) for item, values in rewards.items()}


def answered(episode: Episode) -> bool:
    return episode.stop is StopReason.ANSWER


def normal_answer(episode: Episode) -> str:
    """The answer without what does not make it another one: case and white space."""
    return " ".join(episode.answer.casefold().split())


def top_answer(graded: Sequence[GradedEpisode]) -> tuple[str, float]:
    """The commonest normalised answer and its share: the mean over items of how many of their attempts give it."""
    by_item: defaultdict[int, Counter[str]] = defaultdict(Counter)
    for each in graded:
        if answered(each.episode):
            by_item[each.episode.item.index][normal_answer(each.episode)] += 1
    shares: defaultdict[str, list[float]] = defaultdict(list)
    for counts in by_item.values():
        for answer, count in counts.items():
            shares[answer].append(count / counts.total())
    totals = {answer: fsum(found) for answer, found in shares.items()}
    top = max(totals, key=lambda answer: totals[answer], default="")
    return top, totals.get(top, 0.0) / max(1, len(by_item))


def is_unaided(episode: Episode) -> bool:
    """Whether no tool reply can have helped: there is none, or all say that something was wrong."""
    return all(result.is_error for turn in episode.turns for result in turn.results)
