"""The engine's `Lifecycle` port over HTTP: one URL of the user's hears when an episode starts and when it is finished.

So a server can make a machine, a container or a database for each episode, and drop it afterwards. It can rely on this:
no tool is called before `episode_started` was answered with 2xx; `episode_finished` follows whatever happened, after
the grade, also where `episode_started` failed or was cut off, and may then even overtake it. A worker that dies sends
nothing: machines should expire by themselves too.
"""

import asyncio
import json
import logging
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

from agentrft.domain.episode import StopReason
from agentrft.domain.faults import Fault, FaultKind, FaultOwner
from agentrft.domain.job import LifecycleEndpoint
from agentrft.outbound.endpoint import Endpoint
from agentrft.outbound.signature import Signer
from agentrft.outbound.transport import Failure, Reply, Target, Transport, backoff_s, excerpt, judge_status
from agentrft.outbound.turnstile import Turnstile
from agentrft.ports import CallContext
from agentrft.tools.protocol import place_headers

log = logging.getLogger(__name__)
NAME = "lifecycle"  # in faults
START_TIMEOUT_S = 120.0  # a machine takes a while
START_DEADLINE_S = 300.0
FINISH_TIMEOUT_S = 10.0
FINISH_DEADLINE_S = 30.0
CANCELLED = "cancelled"  # the stop reason of an episode that was not played to its end


class HttpLifecycle:
    """Use as an async context manager: leaving it waits, for a bounded time, for what is still to be said.

    Args:
        job_id: told with every episode.
        signer: signs every request; None: they are sent unsigned.
        backoff_s: seconds to pause after the n-th failed try, n from 1.

    `endpoint` says how the URL is doing with beginnings, and when it is well again.
    """

    def __init__(
        self,
        settings: LifecycleEndpoint,
        *,
        job_id: str,
        signer: Signer | None = None,
        backoff_s: Callable[[int], float] = backoff_s,
    ) -> None:
        self._job_id = job_id
        self._headers = settings.headers
        self._transport = Transport(backoff_s=backoff_s)
        self._farewells: set[asyncio.Task[None]] = set()

        def endpoint(timeout_s: float, deadline_s: float) -> Endpoint:
            target = Target(
                url=settings.url, headers=settings.headers, timeout_s=timeout_s, deadline_s=deadline_s, signer=signer
            )
            return Endpoint(NAME, target, transport=self._transport, turnstile=Turnstile())

        # A breaker each: farewells that nobody waits for must not hold up beginnings, nor be their probes.
        self.endpoint = endpoint(START_TIMEOUT_S, START_DEADLINE_S)
        self._finish = endpoint(FINISH_TIMEOUT_S, FINISH_DEADLINE_S)

    async def __aenter__(self) -> Self:
        await self._transport.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if self._farewells:
                await asyncio.wait(self._farewells, timeout=FINISH_DEADLINE_S)
        finally:
            left = list(self._farewells)
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)
            await self._transport.__aexit__(kind, error, traceback)

    async def begin(self, context: CallContext) -> Fault | None:
        outcome = await self._tell(self.endpoint, "episode_started", context, item=context.item.row)
        if isinstance(outcome, Reply):
            return None
        return Fault(
            owner=FaultOwner.TOOL_ENDPOINT,
            kind=outcome.kind,
            where=NAME,
            message=outcome.message,
            attempts=outcome.attempts,
        )

    def end(self, context: CallContext, stop: StopReason | None) -> None:
        task = asyncio.get_running_loop().create_task(self._say_goodbye(context, stop))
        self._farewells.add(task)
        task.add_done_callback(self._farewells.discard)

    async def _say_goodbye(self, context: CallContext, stop: StopReason | None) -> None:
        outcome = await self._tell(self._finish, "episode_finished", context, stop_reason=stop or CANCELLED)
        if isinstance(outcome, Failure):
            log.warning("the end of episode %s could not be told: %s", context.trace_id, outcome.message)

    async def _tell(self, endpoint: Endpoint, event: str, context: CallContext, **more: Any) -> Reply | Failure:
        body = {
            "type": event,
            "job_id": self._job_id,
            "trace_id": context.trace_id,
            "step": context.step,
            "group": context.group,
            "attempt": context.attempt,
            **more,
        }
        headers = {
            "Idempotency-Key": quote(f"{context.trace_id}.{event}"),
            "X-Agentrft-Trace-Id": quote(context.trace_id),
            **place_headers(context),
        }
        return await endpoint.post(
            json.dumps(body).encode("ascii"), headers=headers, judge=lambda reply: _judge(reply, self._headers)
        )


def _judge(reply: Reply, headers: Mapping[str, str]) -> Failure | None:
    failure = judge_status(reply, headers=headers)
    if failure is not None or reply.status < 400:
        return failure
    text = f"HTTP {reply.status} {excerpt(reply, headers=headers) or reply.reason}".strip()
    return Failure(kind=FaultKind.INVALID_REPLY, message=text, retry=False)
