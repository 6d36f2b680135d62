"""What alarms look at: the steps of a job so far, the last one with its episodes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from agentrft.domain.episode import GradedEpisode

Rewards = Mapping[str, float]  # by trace id


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """One finished step. `metrics` has the flat names of docs/concepts.md, those of `signs` among them."""

    step: int
    metrics: Mapping[str, float]
    train: Sequence[GradedEpisode] = ()  # graded ones; kept for the latest step only
    valid: Sequence[GradedEpisode] = ()
    monitors: Mapping[str, Rewards] = field(default_factory=dict)  # by the name of a monitor grader
    item_rewards: Mapping[int, float] = field(default_factory=dict)  # mean reward of each validation item

    def without_episodes(self) -> "Observation":
        return replace(self, train=(), valid=(), monitors={})


@dataclass(frozen=True, slots=True)
class History:
    """Never empty; in the order of steps."""

    observations: Sequence[Observation]

    @property
    def now(self) -> Observation:
        return self.observations[-1]

    def value(self, name: str) -> float:
        """Of the latest step. Raises KeyError where it is undefined there."""
        return self.now.metrics[name]

    def series(self, name: str) -> list[float]:
        """The values of all steps that have one."""
        return [each.metrics[name] for each in self.observations if name in each.metrics]

    def having(self, name: str) -> list[Observation]:
        """The steps that have such a value; of `valid_reward_mean`: the evaluations."""
        return [each for each in self.observations if name in each.metrics]

    @property
    def reward_span(self) -> float:
        """How far rewards can be apart: 1 when all seen lie in 0..1, else the range of those seen."""
        if self.on_unit_scale:
            return 1.0
        return max(self._highest) - min(self._lowest)

    @property
    def on_unit_scale(self) -> bool:
        """Whether every reward seen lies in 0..1, so that 1 may be taken for the best there is."""
        return all(value >= 0.0 for value in self._lowest) and all(value <= 1.0 for value in self._highest)

    @property
    def _lowest(self) -> list[float]:
        return self.series("train_reward_min") + self.series("valid_reward_min")

    @property
    def _highest(self) -> list[float]:
        return self.series("train_reward_max") + self.series("valid_reward_max")
