"""The order in which a job sees its examples: shuffled anew each epoch, the same for the same seed, resumable."""

import random
from collections.abc import Mapping, Sequence
from typing import Any, Generic, TypeVar

Example = TypeVar("Example")


class ItemOrder(Generic[Example]):
    """Gives items, or other examples, batch by batch, without end.

    Within an epoch no item comes twice. A batch that runs over the end of an epoch goes on with the next one, in which
    its own items are moved to the end; so a batch of at most `len(items)` never holds an item twice.

    Args:
        items: at least one.
        seed: decides the order of every epoch.
        state: as `state` gave it for the same items and seed, to go on from there.
    """

    def __init__(self, items: Sequence[Example], *, seed: int, state: Mapping[str, Any] | None = None) -> None:
        if not items:
            raise ValueError("an order needs at least one item")
        self._items = items
        self._seed = seed
        self._epoch = int(state["epoch"]) if state else 0
        self._position = int(state["position"]) if state else 0
        self._deferred: list[int] = [int(index) for index in state["deferred"]] if state else []
        self._order = self._shuffle()

    @property
    def state(self) -> dict[str, Any]:
        """Where the order stands: JSON, small."""
        return {"epoch": self._epoch, "position": self._position, "deferred": list(self._deferred)}

    @property
    def epoch(self) -> int:
        """The epoch of the next item, from 0."""
        return self._epoch + (self._position == len(self._order))

    def next(self, n: int) -> list[Example]:
        """The next `n` items."""
        taken: list[int] = []
        while len(taken) < n:
            if self._position == len(self._order):
                self._begin_epoch(deferred=taken)
            step = self._order[self._position : self._position + n - len(taken)]
            self._position += len(step)
            taken += step
        return [self._items[index] for index in taken]

    def _begin_epoch(self, *, deferred: Sequence[int]) -> None:
        self._epoch += 1
        self._position = 0
        self._deferred = sorted(set(deferred))
        self._order = self._shuffle()

    def _shuffle(self) -> list[int]:
        order = list(range(len(self._items)))
        random.Random(f"{self._seed}:{self._epoch}").shuffle(order)
        deferred = frozenset(self._deferred)
        return [index for index in order if index not in deferred] + [index for index in order if index in deferred]
