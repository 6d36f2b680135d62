"""A server hears of every episode's beginning and end."""

import asyncio

import pytest

from agentrft.domain.episode import StopReason
from agentrft.domain.faults import Fault, FaultKind, FaultOwner
from agentrft.domain.job import LifecycleEndpoint
from agentrft.outbound.breaker import BreakerState
from agentrft.outbound.signature import Signer
from agentrft.tools import HttpLifecycle
from tests.tools.scripted_endpoint import Answer, Gather, ScriptedEndpoint

OK = Answer(status=204)
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def lifecycle(url: str, signer: Signer | None = None) -> HttpLifecycle:
    settings = LifecycleEndpoint(url=url, headers={"Authorization": "Bearer s3cret-key"})
    return HttpLifecycle(settings, job_id="ftjob-1", signer=signer, backoff_s=lambda attempt: 0.0)


async def test_the_start_and_the_end_are_told(context) -> None:
    async with ScriptedEndpoint(OK) as server:
        async with lifecycle(server.url) as watched:
            assert await watched.begin(context) is None
            watched.end(context, StopReason.MAX_TURNS)
        started, finished = server.requests
    place = {"job_id": "ftjob-1", "trace_id": "trace_0123", "step": 3, "group": "group_9", "attempt": 1}
    assert started.body == {"type": "episode_started", **place, "item": context.item.row}
    assert finished.body == {"type": "episode_finished", **place, "stop_reason": "max_turns"}
    assert started.headers["authorization"] == "Bearer s3cret-key"
    assert started.headers["x-agentrft-trace-id"] == "trace_0123"
    assert started.headers["idempotency-key"] != finished.headers["idempotency-key"]


async def test_an_episode_that_was_cancelled_says_so(context) -> None:
    async with ScriptedEndpoint(OK) as server:
        async with lifecycle(server.url) as watched:
            watched.end(context, None)
        assert server.requests[0].body["stop_reason"] == "cancelled"


async def test_a_start_that_fails_and_then_goes_well_is_one_start(context) -> None:
    async with ScriptedEndpoint(Answer(status=500), Answer(status=429), OK) as server, lifecycle(server.url) as watched:
        assert await watched.begin(context) is None
        assert {request.headers["idempotency-key"] for request in server.requests} == {"trace_0123.episode_started"}


@pytest.mark.parametrize(
    ("status", "kind", "tries"),
    [(500, FaultKind.HTTP_5XX, 4), (403, FaultKind.INVALID_REPLY, 1), (302, FaultKind.INVALID_REPLY, 1)],
)
async def test_a_start_that_is_not_answered_with_2xx_is_a_fault_of_the_endpoint(context, status, kind, tries) -> None:
    refusal = Answer(status=status, body={"detail": "no room for Bearer s3cret-key"})
    async with ScriptedEndpoint(refusal) as server, lifecycle(server.url) as watched:
        fault = await watched.begin(context)
    assert isinstance(fault, Fault)
    assert (fault.owner, fault.kind, fault.where) == (FaultOwner.TOOL_ENDPOINT, kind, "lifecycle")
    assert (fault.attempts, len(server.requests)) == (tries, tries)
    assert "s3cret" not in repr(fault)


async def test_ends_do_not_hold_up_the_next_episode_and_are_all_told_before_the_job_is_over(context) -> None:
    """The server answers only when all eight wait at once: `end` returned for each of them before any was answered."""
    async with ScriptedEndpoint(Gather(count=8, answer=OK)) as server:
        async with lifecycle(server.url) as watched:
            for _ in range(8):
                watched.end(context, StopReason.ANSWER)
        assert len(server.requests) == 8


async def test_an_end_that_cannot_be_told_fails_nothing(context, caplog) -> None:
    async with ScriptedEndpoint(Answer(status=500)) as server:
        async with lifecycle(server.url) as watched:
            watched.end(context, StopReason.ANSWER)
        assert len(server.requests) == 4
    assert "trace_0123" in caplog.text


async def test_a_worker_that_is_stopped_takes_its_last_words_along(context) -> None:
    async with ScriptedEndpoint(Gather(count=2, answer=OK)) as server:

        async def run() -> None:
            async with lifecycle(server.url) as watched:
                watched.end(context, None)
                await asyncio.Event().wait()

        task = asyncio.ensure_future(run())
        await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.wait([task], timeout=0.02)
        assert not task.done()  # the end is still being told
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert not any("_say_goodbye" in repr(task) for task in asyncio.all_tasks())


async def test_both_are_signed(context) -> None:
    async with ScriptedEndpoint(OK) as server:
        async with lifecycle(server.url, Signer(SECRET)) as watched:
            await watched.begin(context)
            watched.end(context, StopReason.ANSWER)
        for request in server.requests:
            sent = request.headers
            again = Signer(SECRET).headers(
                sent["webhook-id"], timestamp_s=int(sent["webhook-timestamp"]), body=request.raw
            )
            assert sent["webhook-signature"] == again["webhook-signature"]


async def test_ends_that_cannot_be_told_keep_no_episode_from_beginning(context) -> None:
    """Twenty ends of one try each are enough to open a breaker, which is not that of beginnings."""
    async with ScriptedEndpoint(*[Answer(status=500)] * 20, OK) as server:
        settings = LifecycleEndpoint(url=server.url)
        async with HttpLifecycle(settings, job_id="ftjob-1", backoff_s=lambda attempt: 1000.0) as watched:
            for _ in range(20):
                watched.end(context, StopReason.ANSWER)
            await asyncio.wait(watched._farewells)
            assert watched._finish.health().state is BreakerState.OPEN
            assert watched.endpoint.health().state is BreakerState.CLOSED
            assert await watched.begin(context) is None
