import asyncio

import pytest

from agentrft.domain.faults import FaultKind
from agentrft.outbound.breaker import Breaker, BreakerRules, BreakerState
from agentrft.outbound.transport import (
    Failure,
    Reply,
    Target,
    Transport,
    backoff_s,
    excerpt,
    find_header_problem,
    find_url_problem,
    judge_status,
    public_url,
)
from agentrft.outbound.turnstile import Turnstile
from tests.tools.scripted_endpoint import Answer, Hang, ScriptedEndpoint


def test_pauses_grow_and_stay_bounded() -> None:
    for attempt in range(1, 20):
        assert 0.1 <= backoff_s(attempt) <= min(8.0, 0.5 * 2**attempt)


@pytest.mark.parametrize("url", ["http://127.0.0.1:8000/tool", "https://user:pw@example.com/a?b=c", "http://[::1]/"])
def test_web_addresses_are_accepted(url) -> None:
    assert find_url_problem(url) is None


@pytest.mark.parametrize(
    "url", [None, 5, "", "example.com", "//example.com", "file:///etc/passwd", "http://", "http://a:b"]
)
def test_other_addresses_are_refused(url) -> None:
    assert find_url_problem(url) is not None


def test_headers_of_any_language_are_accepted() -> None:
    assert find_header_problem({"Authorization": "Bearer a.b-c", "X-Size": "größe"}) is None


@pytest.mark.parametrize("headers", [None, [], {"": "x"}, {"a b": "x"}, {"a": 1}, {"a": "x\r\ny"}, {"a": " x"}])
def test_headers_that_cannot_be_sent_are_refused(headers) -> None:
    assert find_header_problem(headers) is not None


def test_an_address_is_shown_without_its_secrets() -> None:
    assert public_url("https://user:pw@example.com:8443/a?key=k#f") == "https://example.com:8443/a"


def test_an_excerpt_is_short_and_blanks_out_echoed_headers() -> None:
    reply = Reply(status=500, body=b"got: Bearer  s3cret-key\n" + b"x" * 10_000, latency_s=0.0)
    text = excerpt(reply, headers={"Authorization": "Bearer s3cret-key"})
    assert "s3cret-key" not in text
    assert len(text) == 300


async def test_a_judge_decides_what_is_tried_again() -> None:
    paused: list[float] = []

    async def pause(seconds: float) -> None:
        paused.append(seconds)

    def judge(reply: Reply) -> Failure | None:
        return None if reply.body == b"good" else Failure(kind=FaultKind.INVALID_REPLY, message="not good")

    async with (
        ScriptedEndpoint(Answer(body=b"bad"), Answer(body=b"bad"), Answer(body=b"good")) as server,
        Transport(backoff_s=float, pause=pause) as transport,
    ):
        reply = await transport.post(Target(url=server.url), b"{}", headers={}, judge=judge)
    assert isinstance(reply, Reply)
    assert paused == [1.0, 2.0]


async def test_a_pause_that_would_outlast_the_deadline_is_not_begun() -> None:
    async with ScriptedEndpoint(Answer(status=500)) as server, Transport(backoff_s=lambda attempt: 100.0) as transport:
        async with asyncio.timeout(5):
            outcome = await transport.post(
                Target(url=server.url, deadline_s=50.0),
                b"{}",
                headers={},
                judge=lambda reply: Failure(kind=FaultKind.HTTP_5XX, message="HTTP 500"),
            )
    assert isinstance(outcome, Failure)
    assert outcome.message == f"POST {server.url}: HTTP 500 (1 try, no time for another within 50 s)"


async def test_calls_wait_for_a_probe_while_the_breaker_is_open_and_all_get_their_reply() -> None:
    """Ten calls fail once; then one request is made until it is answered, and only then the other nine."""
    breaker = Breaker(BreakerRules(min_requests=10, cooldown_s=0.02))
    turnstile = Turnstile(breaker=breaker)
    script = [Answer(status=503)] * 11 + [Answer(body={"output": "well"})]
    async with ScriptedEndpoint(*script) as server, Transport(backoff_s=lambda attempt: 0.0) as transport:
        calls = [_post(transport, Target(url=server.url), turnstile) for _ in range(10)]
        outcomes = await asyncio.gather(*calls)
    assert all(isinstance(outcome, Reply) for outcome in outcomes)
    assert len(server.requests) == 10 + 1 + 10
    assert breaker.state is BreakerState.CLOSED


@pytest.mark.parametrize(
    ("timeout_s", "deadline_s", "counted"),
    [(0.05, 60.0, 4), (0.2, 0.25, 1)],  # of two tries within 0.25 s the second has no time to show anything
)
async def test_a_timeout_counts_unless_our_own_deadline_cut_it_short(
    timeout_s: float, deadline_s: float, counted: int
) -> None:
    breaker = Breaker(BreakerRules(min_requests=100))
    async with ScriptedEndpoint(Hang()) as server, Transport(backoff_s=lambda attempt: 0.0) as transport:
        target = Target(url=server.url, timeout_s=timeout_s, deadline_s=deadline_s)
        outcome = await _post(transport, target, Turnstile(breaker=breaker))
    assert isinstance(outcome, Failure)
    assert outcome.kind is FaultKind.TIMEOUT
    assert breaker.requests == counted


async def test_the_seconds_that_an_endpoint_asks_for_are_the_least_that_it_is_left_alone() -> None:
    paused: list[float] = []

    async def pause(seconds: float) -> None:
        paused.append(seconds)

    script = [Answer(status=429, headers={"Retry-After": value}) for value in ("7", "Wed, 21 Oct 2026 07:28:00 GMT")]
    script.append(Answer(status=503, headers={"Retry-After": "1"}))
    async with (
        ScriptedEndpoint(*script, Answer(body={})) as server,
        Transport(backoff_s=lambda attempt: 2.0, pause=pause) as transport,
    ):
        outcome = await _post(transport, Target(url=server.url), Turnstile())
    assert isinstance(outcome, Reply)
    assert paused == [7.0, 2.0, 2.0]


async def test_an_endpoint_that_asks_for_more_than_is_left_of_the_deadline_is_not_waited_for() -> None:
    busy = Answer(status=429, body={"detail": "slow down"}, headers={"Retry-After": "3600"})
    async with ScriptedEndpoint(busy) as server, Transport(backoff_s=lambda attempt: 0.0) as transport:
        outcome = await _post(transport, Target(url=server.url), Turnstile())
    assert isinstance(outcome, Failure)
    assert (outcome.kind, outcome.attempts) == (FaultKind.OVERLOADED, 1)
    assert 'HTTP 429 {"detail": "slow down"} (1 try, no time for another within 180 s)' in outcome.message


async def _post(transport: Transport, target: Target, turnstile: Turnstile) -> Reply | Failure:
    return await transport.post(
        target, b"{}", headers={}, judge=lambda reply: judge_status(reply, headers={}), turnstile=turnstile
    )
