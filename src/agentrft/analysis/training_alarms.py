"""Alarms of an optimisation that goes wrong. Thresholds without another source: rl-engine reference, section 4."""

from collections.abc import Sequence
from math import inf
from statistics import median

from agentrft.analysis.alert import Alarm, Alert, Severity, traces
from agentrft.analysis.history import History
from agentrft.analysis.statistics import mean, standard_errors
from agentrft.domain.episode import GradedEpisode, TokenKind

MIN_TOKENS = 256  # action tokens of an update, before a mean over them is believed
MIN_GROUPS = 12
RECENT_STEPS = 5
MIN_EARLIER_STEPS = 5  # before a gradient can be called unusual
SOLVED = 0.8  # of a reward in 0..1: from here on a policy may be sure of itself


def entropy_collapse(history: History) -> Alert | None:
    """Entropy below 0.3 of what it was at first (section 4), while the reward neither rises nor is good, nor can rise.

    Reward is bought with entropy (arXiv 2505.22617): a policy that learns becomes sure of itself. What is wrong is one
    that explores no more and has stopped getting better. As long as half of the groups hold attempts that earned
    differently there is something to learn from. Means of two steps for entropy and of three for the others.
    """
    alike = history.series("zero_variance_share")[-3:]
    if len(alike) < 3 or mean(alike) < 0.5:
        return None
    entropy, rewards = history.series("train/entropy"), history.having("train_reward_stderr")
    if len(entropy) < 6 or len(rewards) < 6 or mean(entropy[-2:]) >= 0.3 * mean(entropy[:2]):
        return None
    before, now = (
        mean([each.metrics["train_reward_mean"] for each in part]) for part in (rewards[-6:-3], rewards[-3:])
    )
    noise = [each.metrics["train_reward_stderr"] / 3 for each in rewards[-6:]]
    solved = history.on_unit_scale and now >= SOLVED
    if solved or standard_errors(now - before, *noise) > 1.0:
        return None
    return Alert(
        message=f"The policy hardly varies any more (entropy {mean(entropy[-2:]):.3f}, at first "
        f"{mean(entropy[:2]):.3f}) and its reward stays at {now:.2f}: it has nothing left to learn from. Go back to an "
        "earlier checkpoint with a lower learning rate, or with more attempts at each item.",
        numbers={"entropy_before": mean(entropy[:2]), "entropy": mean(entropy[-2:]), "reward": now},
        trace_ids=traces(history.now.train),
    )


def mismatch(history: History) -> Alert | None:
    """Sampler and trainer disagree: mean(r - log r - 1) above 0.01, serious above 0.05 (section 4)."""
    divergence = history.value("train/mismatch_kl")
    if history.value("train/tokens") < MIN_TOKENS or divergence <= 0.01:
        return None
    return Alert(
        message=f"The sampler and the trainer disagree on how likely the sampled tokens were (divergence "
        f"{divergence:.3f}). The update is then not the one that was asked for: use the same precision in both, and "
        "shorter steps between them.",
        numbers={"mismatch_kl": divergence},
        trace_ids=traces(unlikeliest(history.now.train)),
        severity=Severity.SERIOUS if divergence > 0.05 else Severity.WARN,
    )


def few_effective_samples(history: History) -> Alert | None:
    """Importance weights worth less than half of the tokens: (sum w)^2 / (n sum w^2) < 0.5 (section 4, VCPO)."""
    share = history.value("train/effective_sample_share")
    if history.value("train/tokens") < MIN_TOKENS or share >= 0.5:
        return None
    return Alert(
        message=f"Few tokens decide the update: its importance weights are worth {share:.0%} of the sampled tokens. "
        "Lower the learning rate.",
        numbers={"effective_sample_share": share},
        trace_ids=traces(unlikeliest(history.now.train)),
        severity=Severity.SERIOUS,
    )


def no_signal(history: History) -> Alert | None:
    """More than 80 % of the groups of the last five steps earn the same throughout (section 4), of at least 12."""
    steps = history.having("zero_variance_share")[-RECENT_STEPS:]
    groups = sum(each.metrics["groups_total"] for each in steps)
    flat, passed = (
        sum(each.metrics[name] * each.metrics["groups_total"] for each in steps)
        for name in ("zero_variance_share", "zero_variance_all_pass_share")
    )
    if groups < MIN_GROUPS or flat <= 0.8 * groups:
        return None
    solved = passed > 0.5 * flat
    what = (
        "because they all succeed: the items are solved. End the job, or give it harder items"
        if solved
        else "because they all fail: the items are too hard. Give easier items, partial credit, or demonstrations first"
    )
    flat_episodes = sorted(history.now.train, key=lambda graded: graded.reward, reverse=solved)
    return Alert(
        message=f"In {flat / groups:.0%} of the last {groups:.0f} groups all attempts earn the same, mostly {what}.",
        numbers={"zero_variance_share": flat / groups, "all_pass_share": passed / groups, "groups": groups},
        trace_ids=traces(flat_episodes),
    )


def gradient_spike(history: History) -> Alert | None:
    """A gradient of more than five times the median of those before it (section 4), at least five of them."""
    *earlier, now = history.series("train/grad_norm")
    if len(earlier) < MIN_EARLIER_STEPS or now <= 5 * median(earlier):
        return None
    return Alert(
        message=f"The gradient was {now:.2g} long, where {median(earlier):.2g} is usual. Clipping bounds what it did; "
        "if it happens again, lower the learning rate. These episodes were the least likely ones of the step.",
        numbers={"grad_norm": now, "median": median(earlier)},
        trace_ids=traces(unlikeliest(history.now.train)),
    )


TRAINING_ALARMS = (
    Alarm(name="entropy_collapse", check=entropy_collapse, needs=("train/entropy", "train_reward_stderr")),
    Alarm(name="mismatch", check=mismatch, needs=("train/mismatch_kl", "train/tokens")),
    Alarm(
        name="few_effective_samples",
        check=few_effective_samples,
        needs=("train/effective_sample_share", "train/tokens"),
    ),
    Alarm(
        name="no_signal",
        check=no_signal,
        needs=("zero_variance_share", "zero_variance_all_pass_share", "groups_total"),
    ),
    Alarm(name="gradient_spike", check=gradient_spike, needs=("train/grad_norm",)),
)


def unlikeliest(graded: Sequence[GradedEpisode]) -> list[GradedEpisode]:
    """Sorted by the mean log-probability of what was sampled, the lowest first: they move the weights most."""

    def mean_logp(each: GradedEpisode) -> float:
        tokens = each.episode.tokens
        sampled = [
            logp for logp, kind in zip(tokens.logps, tokens.kinds, strict=True) if kind is TokenKind.SAMPLED
        ]  # fmt: skip
        return mean(sampled) if sampled else inf

    return sorted(graded, key=mean_logp)
