"""A claimed job and what it is done with."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from agentrft.datasets import ItemOrder
from agentrft.domain.job import Job
from agentrft.domain.training import Checkpoint
from agentrft.store import Store
from agentrft.store.queue import Claim
from agentrft.worker.engine import Engine
from agentrft.worker.journal import StoreJournal
from agentrft.worker.models import LoadedModel
from agentrft.worker.resume import ResumePoint

Example = TypeVar("Example")


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    store: Store
    claim: Claim
    job: Job
    loaded: LoadedModel
    engine: Engine
    journal: StoreJournal
    point: ResumePoint | None  # to go on from

    @property
    def resume(self) -> Checkpoint | None:
        return self.point.checkpoint if self.point else None

    def order(self, examples: Sequence[Example]) -> ItemOrder[Example]:
        """Their order; the journal notes with every checkpoint where it stands."""
        order = ItemOrder(examples, seed=self.job.seed, state=self.point.order if self.point else None)
        self.journal.follow(lambda: order.state)
        return order
