"""Turns under limits and before an open breaker: what is waited for, and whether the deadline runs meanwhile."""

import asyncio
import contextlib

import pytest

from agentrft.outbound.breaker import Breaker, BreakerRules, BreakerState
from agentrft.outbound.turnstile import Countdown, Turnstile

QUICK = BreakerRules(min_requests=2, cooldown_s=0.02)
NEVER = BreakerRules(min_requests=2, cooldown_s=1000.0)


async def fail(turnstile: Turnstile, times: int) -> None:
    for _ in range(times):
        async with turnstile.turn(Countdown(60.0)) as turn:
            assert turn is not None
            turn.failed("HTTP 500")


async def test_no_more_requests_than_allowed_are_under_way_at_once() -> None:
    turnstile = Turnstile(max_concurrency=3)
    live, most = 0, 0

    async def request() -> None:
        nonlocal live, most
        async with turnstile.turn(Countdown(60.0)) as turn:
            assert turn is not None
            live += 1
            most = max(most, live)
            await asyncio.sleep(0)
            live -= 1
            turn.answered()

    await asyncio.gather(*(request() for _ in range(20)))
    assert most == 3


async def test_queueing_behind_a_limit_does_not_use_up_the_deadline() -> None:
    turnstile = Turnstile(max_concurrency=1)
    countdown = Countdown(0.02)
    async with turnstile.turn(Countdown(60.0)):
        queued = asyncio.ensure_future(turnstile.turn(countdown).__aenter__())
        await asyncio.sleep(0.04)
    assert await queued is not None
    assert countdown.left_s > 0.0


async def test_before_an_open_breaker_the_deadline_runs() -> None:
    turnstile = Turnstile(breaker=Breaker(NEVER))
    await fail(turnstile, 2)
    async with turnstile.turn(Countdown(0.02)) as turn:
        assert turn is None


async def test_of_all_that_wait_one_probes_and_the_others_follow_when_it_is_answered() -> None:
    turnstile = Turnstile(breaker=Breaker(QUICK))
    await fail(turnstile, 2)
    states: list[BreakerState] = []

    async def request() -> None:
        async with turnstile.turn(Countdown(60.0)) as turn:
            assert turn is not None
            states.append(turnstile.breaker.state)
            await asyncio.sleep(0)
            turn.answered()

    await asyncio.gather(*(request() for _ in range(10)))
    assert states == [BreakerState.HALF_OPEN] + [BreakerState.CLOSED] * 9


async def test_a_cancelled_probe_gives_its_turn_away() -> None:
    turnstile = Turnstile(breaker=Breaker(QUICK))
    await fail(turnstile, 2)
    entered = asyncio.Event()

    async def stuck() -> None:
        async with turnstile.turn(Countdown(60.0)):
            entered.set()
            await asyncio.Event().wait()

    probe = asyncio.ensure_future(stuck())
    await entered.wait()
    next_one = asyncio.ensure_future(turnstile.turn(Countdown(60.0)).__aenter__())
    probe.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await probe
    assert await next_one is not None


async def test_a_call_that_queued_while_the_breaker_opened_is_not_sent() -> None:
    turnstile = Turnstile(max_concurrency=1, breaker=Breaker(NEVER))
    await fail(turnstile, 1)
    async with turnstile.turn(Countdown(60.0)) as turn:
        queued = asyncio.ensure_future(turnstile.turn(Countdown(0.02)).__aenter__())
        await asyncio.sleep(0)
        assert turn is not None
        turn.failed("HTTP 500")
    assert await queued is None


async def test_a_call_that_waited_for_its_second_while_the_breaker_opened_is_not_sent() -> None:
    turnstile = Turnstile(rate_limit=20.0, breaker=Breaker(NEVER))
    async with turnstile.turn(Countdown(60.0)) as turn:
        queued = asyncio.ensure_future(turnstile.turn(Countdown(0.02)).__aenter__())
        await asyncio.sleep(0)
        assert turn is not None
        turn.failed("HTTP 500")
        number = turnstile.breaker.admit()
        assert number is not None
        turnstile.breaker.failed(number, "HTTP 500")
    assert await queued is None


@pytest.mark.parametrize("limits", [{"max_concurrency": 1}, {"rate_limit": 1000.0}, {}])
async def test_a_cancelled_call_leaves_no_place_taken(limits) -> None:
    turnstile = Turnstile(**limits)
    async with turnstile.turn(Countdown(60.0)):
        waiting = asyncio.ensure_future(turnstile.turn(Countdown(60.0)).__aenter__())
        await asyncio.sleep(0)
        waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    async with asyncio.timeout(5), turnstile.turn(Countdown(60.0)) as turn:
        assert turn is not None
