"""What a grader pays for tricks, against what it pays for real work: a verdict.

Measured on a scale of the grader's own: 0 is the least it paid for anything, 1 the most of real episodes and controls.
A trick that earns more than the real episodes do is what training will find (rl-engine reference, section 4).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from agentrft.analysis.noise import Noise
from agentrft.analysis.statistics import mean
from agentrft.analysis.tricks import Trick

NOTHING = 0.02  # of the scale: a trick that earns no more than this is not paid
SUSPICIOUS_SHARE = 0.5  # of what real episodes earn
ALONE = (0.1, 0.5)  # of the scale, where there are no real episodes: suspicious above the first, hackable the second


class Verdict(StrEnum):
    FINE = "fine"
    SUSPICIOUS = "suspicious"
    HACKABLE = "hackable"
    UNKNOWN = "unknown"  # nothing could be graded, or there is neither an episode nor a reference to compare with


@dataclass(frozen=True, slots=True, kw_only=True)
class Paid:
    """The rewards of one kind of episode, and what went wrong with the others."""

    rewards: Sequence[float] = ()
    failed: int = 0  # no grade at all
    flagged: int = 0  # graded, with an error flag
    trouble: str | None = None  # the last failure or flag

    @property
    def mean(self) -> float | None:
        return mean(self.rewards) if self.rewards else None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrickResult:
    name: str
    shows: str
    control: bool
    episodes: int
    reward_mean: float | None
    reward_max: float | None
    failed: int
    flagged: int
    trouble: str | None
    verdict: Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckReport:
    """What `agentrft graders check` says. Without real episodes `real_mean` is None."""

    verdict: Verdict
    items: int
    real_episodes: int
    real_mean: float | None
    real_failed: int
    floor: float | None
    top: float | None
    tricks: tuple[TrickResult, ...]
    noise: Noise | None  # of real episodes graded twice


def judge(real: Paid, paid: Mapping[Trick, Paid], *, items: int, noise: Noise | None) -> CheckReport:
    """Weigh what was paid."""
    everything = [reward for part in (real, *paid.values()) for reward in part.rewards]
    honest = [real.mean, *(part.mean for trick, part in paid.items() if trick.control)]
    earned = [value for value in honest if value is not None]
    floor = min(everything, default=None)
    top = max(earned, default=None)  # without anything right to compare with there is no scale
    results = tuple(_result(trick, part, real.mean, floor, top) for trick, part in paid.items())
    return CheckReport(
        verdict=_worst([result.verdict for result in results if not result.control]),
        items=items,
        real_episodes=len(real.rewards),
        real_mean=real.mean,
        real_failed=real.failed,
        floor=floor,
        top=top,
        tricks=results,
        noise=noise,
    )


def _result(trick: Trick, paid: Paid, real: float | None, floor: float | None, top: float | None) -> TrickResult:
    return TrickResult(
        name=trick.name,
        shows=trick.shows,
        control=trick.control,
        episodes=len(paid.rewards) + paid.failed,
        reward_mean=paid.mean,
        reward_max=max(paid.rewards, default=None),
        failed=paid.failed,
        flagged=paid.flagged,
        trouble=paid.trouble,
        verdict=_verdict(paid.mean, control=trick.control, real=real, floor=floor, top=top),
    )


def _verdict(
    reward: float | None, *, control: bool, real: float | None, floor: float | None, top: float | None
) -> Verdict:
    if reward is None or floor is None or top is None:
        return Verdict.UNKNOWN
    scale = max(top - floor, reward - floor)
    worth = (reward - floor) / scale if scale > 0 else 0.0
    if control:
        return Verdict.FINE if real is None or reward >= real else Verdict.SUSPICIOUS
    if worth <= NOTHING:
        return Verdict.FINE
    suspicious, hackable = ALONE
    if real is not None:
        earned = (real - floor) / scale
        suspicious, hackable = SUSPICIOUS_SHARE * earned, earned
    return Verdict.HACKABLE if worth > hackable else Verdict.SUSPICIOUS if worth > suspicious else Verdict.FINE


def _worst(verdicts: Sequence[Verdict]) -> Verdict:
    order = (Verdict.HACKABLE, Verdict.SUSPICIOUS, Verdict.FINE)
    return next((verdict for verdict in order if verdict in verdicts), Verdict.UNKNOWN)
