"""A circuit breaker: an endpoint that is down is left alone, but for a request now and then that asks how it is.

    closed --(too many of the recent requests failed)--> open --(cool-down over)--> half-open: one probe
      ^                                                   ^                             |
      +------------------ the probe was answered ---------|------ the probe failed -----+
                                                      (twice the cool-down)

Here is the state alone, without waiting and without HTTP (turnstile.py waits). The policy's own mistakes, 4xx replies,
are answers: they never open it.
"""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from math import inf


class BreakerState(StrEnum):
    CLOSED = "closed"  # requests go through
    OPEN = "open"  # nobody goes through
    HALF_OPEN = "half_open"  # one request is under way, the others wait for what becomes of it


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerRules:
    """When a breaker opens, and for how long."""

    window_s: float = 60.0  # what counts as recent
    min_requests: int = 20  # fewer recent requests say nothing
    failure_rate: float = 0.5  # of the recent requests; at this share the breaker opens
    cooldown_s: float = 5.0  # before the first probe; doubled with each probe that fails
    max_cooldown_s: float = 60.0


class Breaker:
    """Counts requests of one endpoint and says whether another may be sent.

    Every request is admitted first and settled later, under the number it was admitted with: by `answered`, `failed`,
    or `withdraw` when it ended without saying anything about the endpoint. What was admitted before the last change of
    state is too old to count.

    Args:
        clock: seconds, monotonic.
    """

    def __init__(self, rules: BreakerRules | None = None, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._rules = rules or BreakerRules()
        self._clock = clock
        self._recent: deque[tuple[float, bool]] = deque()  # when, and whether it failed
        self._failures = 0  # among the recent
        self._cooldown_s = self._rules.cooldown_s
        self._probe_at = 0.0
        self.state = BreakerState.CLOSED
        self.generation = 0  # grows with every change of state
        self.last_failure = ""

    def admit(self) -> int | None:
        """The number of a request that may be sent now; None when it may not."""
        if self.state is BreakerState.OPEN and self._clock() >= self._probe_at:
            self._enter(BreakerState.HALF_OPEN)
            return self.generation
        return self.generation if self.state is BreakerState.CLOSED else None

    def answered(self, number: int) -> None:
        if number != self.generation:
            return
        if self.state is BreakerState.HALF_OPEN:
            self._close()
        else:
            self._count(failed=False)

    def failed(self, number: int, why: str) -> None:
        """`why` is for people and holds no secret."""
        self.last_failure = why
        if number != self.generation:
            return
        self._count(failed=True)
        if self.state is BreakerState.HALF_OPEN:
            self._open(min(2 * self._cooldown_s, self._rules.max_cooldown_s))
        elif self.requests >= self._rules.min_requests and self.failure_rate >= self._rules.failure_rate:
            self._open(self._rules.cooldown_s)

    def withdraw(self, number: int) -> None:
        if number == self.generation and self.state is BreakerState.HALF_OPEN:
            self._enter(BreakerState.OPEN)  # its cool-down is over: the next request is the probe

    @property
    def wait_s(self) -> float:
        """Seconds until a request may be admitted: 0 now; infinite while that depends on the probe under way."""
        if self.state is BreakerState.HALF_OPEN:
            return inf
        return max(0.0, self._probe_at - self._clock()) if self.state is BreakerState.OPEN else 0.0

    @property
    def requests(self) -> int:
        """How many requests `failure_rate` is about: the recent ones, or those up to the opening."""
        self._forget_old()
        return len(self._recent)

    @property
    def failure_rate(self) -> float:
        return self._failures / self.requests if self.requests else 0.0

    def _count(self, *, failed: bool) -> None:
        self._recent.append((self._clock(), failed))
        self._failures += failed
        self._forget_old()

    def _forget_old(self) -> None:
        if self.state is not BreakerState.CLOSED:
            return
        start = self._clock() - self._rules.window_s
        while self._recent and self._recent[0][0] < start:
            self._failures -= self._recent.popleft()[1]

    def _open(self, cooldown_s: float) -> None:
        self._cooldown_s = cooldown_s
        self._probe_at = self._clock() + cooldown_s
        self._enter(BreakerState.OPEN)

    def _close(self) -> None:
        self._recent.clear()
        self._failures = 0
        self._enter(BreakerState.CLOSED)

    def _enter(self, state: BreakerState) -> None:
        self.state = state
        self.generation += 1
