import asyncio

from agentrft.outbound.rate_limit import RateLimit


class Time:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 100.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


async def test_callers_of_one_moment_are_spread_over_the_second() -> None:
    time = Time()
    limit = RateLimit(4.0, clock=time, sleep=time.sleep)
    await asyncio.gather(*(limit.wait() for _ in range(4)))
    assert time.slept == [0.25, 0.5, 0.75]


async def test_a_caller_after_a_pause_goes_through_at_once() -> None:
    time = Time()
    limit = RateLimit(4.0, clock=time, sleep=time.sleep)
    await limit.wait()
    time.now += 10.0
    await limit.wait()
    assert time.slept == []


async def test_without_a_limit_nobody_waits() -> None:
    time = Time()
    limit = RateLimit(None, clock=time, sleep=time.sleep)
    await asyncio.gather(*(limit.wait() for _ in range(100)))
    assert time.slept == []
