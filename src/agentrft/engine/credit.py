"""Rewards -> advantages -> what the trainer sees. Pure arithmetic, no I/O.

Two terms (rl-engine reference, sections 1.3 and 1.7). The accuracy term centres the rewards of a group on their mean,
without dividing by their deviation, times n/(n-1), which makes it the leave-one-out baseline of RLOO. The efficiency
term compares the cost of the successes among themselves, so that it can never make a failure look good, and is clipped
so that it can never turn the sign of an advantage.

Attempts with a fault are in neither: they say nothing about the policy.

Where training costs more than sampling, as on CPUs, a group can be thinned: attempts that tell more are likelier to be
kept, and those that were not certain to be weigh more, so that the expected gradient stays what it was.
"""

import random
from collections.abc import Iterable, Sequence
from math import floor, fsum

from agentrft.domain.episode import Episode, GradedEpisode, Group, TokenKind
from agentrft.domain.job import Penalty
from agentrft.domain.training import Datum

ALL_PASSED_SHARE = 0.5  # of the efficiency term where every attempt succeeded and nothing else is to be learned
NEGLIGIBLE = 1e-9  # rounding, not merit: without this, attempts that are all alike would seem to differ


def advantages(group: Group, penalty: Penalty) -> list[float]:
    """How much better each attempt was than its peers: one number per attempt of `group.valid`, in that order."""
    accuracy = accuracy_advantages(group)
    efficiency = _efficiency_terms(group.valid, penalty)
    return [_combined(acc, eff, keep=penalty.keep) for acc, eff in zip(accuracy, efficiency, strict=True)]


def accuracy_advantages(group: Group) -> list[float]:
    """The rewards, centred: n/(n-1) * (R_i - mean R), in the order of `group.valid`; all 0 where no reward differs."""
    rewards = [graded.reward for graded in group.valid]
    if not group.has_signal:
        return [0.0] * len(rewards)
    count = len(rewards)
    mean = fsum(rewards) / count
    return [_without_rounding(count / (count - 1) * (reward - mean)) for reward in rewards]


def data(
    groups: Iterable[Group],
    penalty: Penalty,
    *,
    mask_truncated: bool = False,
    keep: int | None = None,
    seed: int = 0,
) -> list[Datum]:
    """What the trainer learns from, in the order of the groups: an attempt without advantage teaches nothing.

    Args:
        mask_truncated: one that ran out of tokens teaches nothing either; its peers are compared with it as ever.
        keep: at most this many attempts of each group, see `thinned`; None: all.
        seed: of the choice among them.
    """
    return [
        _datum(graded.episode, advantage)
        for group in groups
        for graded, advantage in zip(group.valid, _shown(group, penalty, mask_truncated, keep, seed), strict=True)
        if advantage != 0.0 and graded.episode.tokens.sampled_count > 0
    ]


def thinned(amounts: Sequence[float], keep: int, dice: random.Random) -> list[float]:
    """At most `keep` of the advantages, the others 0: an unbiased estimate of all of them, and of every weighted sum.

    Each is kept with a probability in proportion to its size, or surely where that would be above 1, and divided by
    that probability: systematic sampling with probability proportional to size (W. G. Madow, 1949). That the attempts
    that differ most teach most is PODS (arXiv 2504.13818), which does not weigh.
    """
    chances = _chances([abs(amount) for amount in amounts], keep)
    # A hair below 1, so that rounding of the sum cannot let one more pass.
    tick, total, shown = dice.random() * (1 - 1e-9), 0.0, []
    for amount, chance in zip(amounts, chances, strict=True):
        before, total = total, total + chance
        passed = floor(total - tick) > floor(before - tick)
        shown.append(amount / chance if passed else 0.0)
    return shown


def _shown(group: Group, penalty: Penalty, mask_truncated: bool, keep: int | None, seed: int) -> list[float]:
    """The advantages that the trainer sees, 0 for attempts that it does not."""
    amounts = [
        0.0 if mask_truncated and graded.episode.stop.truncated else amount
        for graded, amount in zip(group.valid, advantages(group, penalty), strict=True)
    ]
    if keep is None:
        return amounts
    return thinned(amounts, keep, random.Random(f"{seed} {group.item.index}"))


def _chances(sizes: Sequence[float], keep: int) -> list[float]:
    """Probabilities in proportion to `sizes`, none above 1, that add up to `keep` or to the number of those above 0."""
    sure: set[int] = set()
    while True:
        rest = {index: size for index, size in enumerate(sizes) if size > 0 and index not in sure}
        total, left = fsum(rest.values()), keep - len(sure)
        crowded = {index for index, size in rest.items() if size * left >= total}
        if not crowded:
            return [
                1.0 if index in sure else size * left / total if size > 0 else 0.0 for index, size in enumerate(sizes)
            ]
        sure |= crowded


def _efficiency_terms(valid: Sequence[GradedEpisode], penalty: Penalty) -> list[float]:
    """E_i of section 1.7: minus the cost above the mean of the successes; 0 for failures and for a single success."""
    successes = [graded.reward >= penalty.success for graded in valid]
    winners = [graded.episode for graded, success in zip(valid, successes, strict=True) if success]
    if len(winners) < 2:
        return [0.0] * len(valid)
    pass_rate = len(winners) / len(valid)
    scale = penalty.weight * (pass_rate if penalty.scale_by_pass_rate else 1.0)
    scale *= ALL_PASSED_SHARE if pass_rate == 1.0 else 1.0
    costs = _costs(winners, penalty)
    mean = fsum(costs) / len(costs)
    terms = iter([_without_rounding(-scale * (cost - mean)) for cost in costs])
    return [next(terms) if success else 0.0 for success in successes]


def _costs(winners: Sequence[Episode], penalty: Penalty) -> list[float]:
    """What each success cost, each part relative to the dearest success."""
    tokens = _shares([float(episode.sampled_tokens) for episode in winners])
    calls = _shares([float(episode.tool_calls) for episode in winners])
    seconds = _shares([episode.tool_latency_s for episode in winners])
    return [
        penalty.reasoning_tokens * token + penalty.tool_calls * call + penalty.tool_seconds * second
        for token, call, second in zip(tokens, calls, seconds, strict=True)
    ]


def _shares(amounts: Sequence[float]) -> list[float]:
    largest = max(amounts)
    return [amount / largest if largest > 0 else 0.0 for amount in amounts]


def _combined(accuracy: float, efficiency: float, *, keep: float) -> float:
    """The sum, but at least `keep` of the accuracy term stays, so that the sign stays too."""
    if accuracy > 0:
        return max(accuracy + efficiency, keep * accuracy)
    if accuracy < 0:
        return min(accuracy + efficiency, keep * accuracy)
    return efficiency


def _without_rounding(value: float) -> float:
    return value if abs(value) > NEGLIGIBLE else 0.0


def _datum(episode: Episode, advantage: float) -> Datum:
    """The episode up to its last sampled token: what comes after it was read by nobody."""
    tokens = episode.tokens
    sampled = [kind is TokenKind.SAMPLED for kind in tokens.kinds]
    length = len(sampled) - sampled[::-1].index(True)
    return Datum(
        ids=tokens.ids[:length],
        weights=tuple(1.0 if learn else 0.0 for learn in sampled[:length]),
        old_logps=tokens.logps[:length],
        advantage=advantage,
    )
