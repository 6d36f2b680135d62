"""What a shard knows of one session (an episode, or one request of a client) and of the turn it is sampling."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from agentrft.domain.episode import Completion, FinishReason
from agentrft.ports import SampleRequest


@dataclass(slots=True, kw_only=True)
class Draft:
    """A turn being sampled; grows token by token."""

    request: SampleRequest
    deliver: Callable[[Completion], None]
    ids: list[int] = field(default_factory=list)
    logps: list[float] = field(default_factory=list)
    versions: list[int] = field(default_factory=list)
    source: random.Random = field(default_factory=random.Random)
    begun: float = field(default_factory=time.monotonic)

    def append(self, token: int, logp: float, version: int) -> FinishReason | None:
        """Add a token; says whether the turn is over."""
        self.ids.append(token)
        self.logps.append(logp)
        self.versions.append(version)
        if token in self.request.stop_ids or any(self._ends_with(ids) for ids in self.request.stop_sequences):
            return FinishReason.STOP
        return FinishReason.LENGTH if len(self.ids) >= self.request.max_tokens else None

    def is_late(self, now: float) -> bool:
        """The deadline has passed; `now` as time.monotonic gives it."""
        return self.request.deadline_s is not None and now >= self.begun + self.request.deadline_s

    def _ends_with(self, stop: tuple[int, ...]) -> bool:
        return tuple(self.ids[-len(stop) :]) == stop

    def finish(self, reason: FinishReason) -> None:
        self.deliver(
            Completion(ids=tuple(self.ids), logps=tuple(self.logps), versions=tuple(self.versions), finish=reason)
        )


@dataclass(slots=True, kw_only=True)
class Slot:
    """A place in the cache and the session that holds it."""

    index: int
    session: str | None = None
    cached: list[int] = field(default_factory=list)  # tokens whose keys and values are stored, root included
    pending: list[int] = field(default_factory=list)  # tokens known but not yet processed
    rooted: bool = False
    version: int = -1  # of the weights that computed the cache
    draft: Draft | None = None

    @property
    def known(self) -> list[int]:
        return self.cached + self.pending

    def forget(self) -> None:
        """Free the slot."""
        self.session, self.draft, self.rooted, self.version = None, None, False, -1
        self.cached, self.pending = [], []
