"""One endpoint of the user's as all episodes of a job share it: its address, its limits, and how well it is."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from agentrft.outbound.breaker import BreakerState
from agentrft.outbound.transport import Failure, Reply, Target, Transport
from agentrft.outbound.turnstile import Turnstile


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointHealth:
    """How an endpoint did lately, request by request: a call that is tried four times counts four times."""

    name: str  # of the tool or grader
    state: BreakerState
    requests: int  # in the breaker's window, or up to its opening
    failure_rate: float  # share of `requests` without a usable reply: 5xx, timeout, connection, undecodable; no 4xx
    last_failure: str  # for people; holds no secret; empty when nothing ever failed


class Endpoint:
    """POSTs to one target, within its limits and its circuit breaker.

    While the breaker is open a call waits, within its own deadline, and one of those waiting becomes the probe when the
    cool-down is over. So whoever wants to know whether the endpoint is well again makes the call that failed once more:
    its reply is the answer, and it hammers nothing. `health()` costs nothing and asks nobody.
    """

    def __init__(self, name: str, target: Target, *, transport: Transport, turnstile: Turnstile) -> None:
        self.name = name
        self._target = target
        self._transport = transport
        self._turnstile = turnstile

    async def post(
        self, body: bytes, *, headers: Mapping[str, str], judge: Callable[[Reply], Failure | None]
    ) -> Reply | Failure:
        """As `Transport.post`."""
        return await self._transport.post(self._target, body, headers=headers, judge=judge, turnstile=self._turnstile)

    def health(self) -> EndpointHealth:
        breaker = self._turnstile.breaker
        return EndpointHealth(
            name=self.name,
            state=breaker.state,
            requests=breaker.requests,
            failure_rate=breaker.failure_rate,
            last_failure=breaker.last_failure,
        )
