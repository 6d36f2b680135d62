"""Where a job's examples come from, as the engine sees it: somebody who always knows the next ones."""

from collections.abc import Sequence
from typing import Protocol, TypeVar

Example = TypeVar("Example", covariant=True)


class Order(Protocol[Example]):
    """Draws without end, epoch after epoch (`agentrft.datasets.order.ItemOrder`). Its owner keeps its state."""

    def next(self, n: int) -> Sequence[Example]:
        """The next `n` examples; fewer only where nothing is left for good."""
