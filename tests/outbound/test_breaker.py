"""When an endpoint is left alone, and who asks whether it is well again."""

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentrft.outbound.breaker import Breaker, BreakerRules, BreakerState

RULES = BreakerRules(window_s=10.0, min_requests=4, failure_rate=0.5, cooldown_s=2.0, max_cooldown_s=5.0)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> Breaker:
    return Breaker(RULES, clock=clock)


def settle(breaker: Breaker, *, failed: bool) -> None:
    number = breaker.admit()
    assert number is not None
    if failed:
        breaker.failed(number, "HTTP 500")
    else:
        breaker.answered(number)


def open_up(breaker: Breaker) -> None:
    for _ in range(RULES.min_requests):
        settle(breaker, failed=True)
    assert breaker.state is BreakerState.OPEN


def test_few_failures_say_nothing(breaker: Breaker) -> None:
    for _ in range(RULES.min_requests - 1):
        settle(breaker, failed=True)
    assert breaker.state is BreakerState.CLOSED
    assert (breaker.requests, breaker.failure_rate, breaker.last_failure) == (3, 1.0, "HTTP 500")


@pytest.mark.parametrize(("failures", "state"), [(4, BreakerState.CLOSED), (5, BreakerState.OPEN)])
def test_it_opens_at_a_share_of_the_recent_requests(breaker: Breaker, failures: int, state: BreakerState) -> None:
    for number in range(10):
        settle(breaker, failed=number >= 10 - failures)
    assert breaker.state is state


def test_old_failures_are_forgotten(breaker: Breaker, clock: Clock) -> None:
    for _ in range(RULES.min_requests - 1):
        settle(breaker, failed=True)
    clock.now += RULES.window_s + 0.1
    settle(breaker, failed=True)
    assert breaker.state is BreakerState.CLOSED
    assert breaker.requests == 1


def test_while_it_is_open_nobody_goes_through_until_one_may_probe(breaker: Breaker, clock: Clock) -> None:
    open_up(breaker)
    assert breaker.admit() is None
    assert breaker.wait_s == pytest.approx(RULES.cooldown_s)
    clock.now += RULES.cooldown_s
    assert breaker.wait_s == 0.0
    assert breaker.admit() is not None
    assert breaker.state is BreakerState.HALF_OPEN
    assert breaker.admit() is None
    assert breaker.wait_s == inf


def test_an_answered_probe_closes_it_with_a_clean_slate(breaker: Breaker, clock: Clock) -> None:
    open_up(breaker)
    clock.now += RULES.cooldown_s
    settle(breaker, failed=False)
    assert breaker.state is BreakerState.CLOSED
    assert (breaker.requests, breaker.failure_rate) == (0, 0.0)


def test_each_failed_probe_doubles_the_cooldown_up_to_a_limit(breaker: Breaker, clock: Clock) -> None:
    open_up(breaker)
    waits = []
    for _ in range(4):
        waits.append(breaker.wait_s)
        clock.now += breaker.wait_s
        settle(breaker, failed=True)
    assert waits == pytest.approx([2.0, 4.0, 5.0, 5.0])


def test_a_probe_that_was_cancelled_leaves_its_place_to_the_next(breaker: Breaker, clock: Clock) -> None:
    open_up(breaker)
    clock.now += RULES.cooldown_s
    probe = breaker.admit()
    assert probe is not None
    breaker.withdraw(probe)
    assert breaker.admit() is not None


def test_a_late_reply_to_an_old_request_is_no_verdict_on_the_probe(breaker: Breaker, clock: Clock) -> None:
    old = breaker.admit()
    assert old is not None
    open_up(breaker)
    breaker.answered(old)
    assert breaker.state is BreakerState.OPEN
    clock.now += RULES.cooldown_s
    assert breaker.admit() is not None
    breaker.failed(old, "late")
    assert breaker.state is BreakerState.HALF_OPEN


EVENTS = st.lists(st.tuples(st.sampled_from(["admit", "answered", "failed", "withdraw", "wait"]), st.integers(0, 7)))


@given(events=EVENTS)
def test_whatever_happens_it_probes_alone_and_can_always_recover(events: list[tuple[str, int]]) -> None:
    clock = Clock()
    breaker = Breaker(RULES, clock=clock)
    live: list[int] = []
    for event, which in events:
        if event == "wait":
            clock.now += which
        elif event == "admit":
            waits, number = breaker.wait_s > 0, breaker.admit()
            assert waits == (number is None)
            live += [] if number is None else [number]
        elif live:
            number = live.pop(which % len(live))
            breaker.failed(number, "x") if event == "failed" else getattr(breaker, event)(number)
        if breaker.state is BreakerState.HALF_OPEN:
            assert live.count(breaker.generation) == 1
        assert 0.0 <= breaker.failure_rate <= 1.0
    for number in live:
        breaker.withdraw(number)
    clock.now += RULES.max_cooldown_s
    settle(breaker, failed=False)
    assert breaker.state is BreakerState.CLOSED


def test_of_an_endpoint_that_is_well_no_more_is_kept_than_is_recent(clock: Clock) -> None:
    breaker = Breaker(RULES, clock=clock)
    for _ in range(1000):
        settle(breaker, failed=False)
        clock.now += 1.0
    assert len(breaker._recent) <= RULES.window_s + 1
