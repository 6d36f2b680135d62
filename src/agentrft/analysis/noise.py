"""Does a grader give one episode the same grade twice? Noise that it adds is noise in every advantage."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import fsum, sqrt
from statistics import pstdev

TOLERANCE = 1e-9  # rounding


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """What two gradings of the same episodes have in common."""

    episodes: int  # graded twice
    differing: int
    largest: float  # difference of two grades of one episode
    noise_std: float  # of one grade, if nothing but the grader differs: the mean square of the differences is 2 sigma^2
    spread_std: float  # of the rewards of different attempts

    @property
    def deterministic(self) -> bool:
        return self.differing == 0

    @property
    def drowns_signal(self) -> bool:
        """Whether noise exceeds half of the spread between attempts (rl-engine reference, section 4)."""
        return not self.deterministic and self.noise_std > self.spread_std / 2


def compare_gradings(first: Mapping[str, float], second: Mapping[str, float], rewards: Sequence[float]) -> Noise | None:
    """Compare rewards by trace id; None when no episode was graded twice.

    Args:
        rewards: of all attempts, to compare with.
    """
    differences = [abs(second[trace] - reward) for trace, reward in first.items() if trace in second]
    if not differences:
        return None
    return Noise(
        episodes=len(differences),
        differing=sum(difference > TOLERANCE for difference in differences),
        largest=max(differences),
        noise_std=sqrt(fsum(difference**2 for difference in differences) / (2 * len(differences))),
        spread_std=pstdev(rewards) if rewards else 0.0,
    )


def noise_message(noise: Noise) -> str:
    """What a noisy grader means for the job."""
    seen = (
        f"The grader is not deterministic: graded twice, {noise.differing} of {noise.episodes} episodes got another "
        f"reward, by up to {noise.largest:.3g}. Its noise is {noise.noise_std:.3g} a grade, the spread between "
        f"attempts {noise.spread_std:.3g}. "
    )
    if noise.drowns_signal:
        return seen + "That drowns what is to be learned: set the judge's temperature to 0, or average several grades."
    return seen + "The job goes on; more attempts at each item average it out."
