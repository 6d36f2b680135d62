"""How weights get from trainer to sampler when both live in one process: by reference, under a version."""

from dataclasses import dataclass

from agentrft.domain.training import Weights
from agentrft.modeling.adapters import Adapters
from agentrft.modeling.weights import BaseWeights


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """A snapshot that nobody changes any more."""

    base: BaseWeights
    adapters: Adapters | None


class WeightExchange:
    """Keeps the newest snapshot only: a sampler that asks too late gets an error, never other weights."""

    def __init__(self) -> None:
        self._newest: tuple[int, Published] | None = None

    def put(self, version: int, published: Published) -> Weights:
        """Offer a snapshot under a version that was never used before."""
        if self._newest is not None and version <= self._newest[0]:
            raise ValueError(f"version {version} is not newer than {self._newest[0]}")
        self._newest = (version, published)
        return Weights(version=version, location=f"memory:{version}")

    def get(self, weights: Weights) -> Published:
        """The snapshot that `put` named.

        Raises:
            LookupError: a newer one has replaced it.
        """
        if self._newest is None or self._newest[0] != weights.version:
            raise LookupError(f"weights {weights.location} are not offered any more")
        return self._newest[1]
