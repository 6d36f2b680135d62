"""How an endpoint is doing, for whoever shows it or pauses a job for it."""

import pytest

from agentrft.domain.faults import FaultKind
from agentrft.outbound.breaker import Breaker, BreakerRules, BreakerState
from agentrft.outbound.endpoint import Endpoint, EndpointHealth
from agentrft.outbound.transport import Failure, Reply, Target, Transport, judge_status
from agentrft.outbound.turnstile import Turnstile
from tests.tools.scripted_endpoint import Answer, ScriptedEndpoint

RULES = BreakerRules(min_requests=3, cooldown_s=0.02)


async def post(endpoint: Endpoint) -> Reply | Failure:
    return await endpoint.post(b"{}", headers={}, judge=lambda reply: judge_status(reply, headers={}))


async def test_an_endpoint_that_was_never_asked_is_well() -> None:
    endpoint = Endpoint("search", Target(url="http://x/"), transport=Transport(), turnstile=Turnstile())
    assert endpoint.health() == EndpointHealth(
        name="search", state=BreakerState.CLOSED, requests=0, failure_rate=0.0, last_failure=""
    )


async def test_its_health_follows_its_replies_and_a_call_made_again_is_the_probe() -> None:
    script = [Answer(body={}), Answer(status=503, body={"detail": "loading"}), Answer(status=503), Answer(body={})]
    async with ScriptedEndpoint(*script) as server, Transport(backoff_s=lambda attempt: 1000.0) as transport:
        target, breaker = Target(url=server.url, deadline_s=30.0), Breaker(RULES)
        endpoint = Endpoint("search", target, transport=transport, turnstile=Turnstile(breaker=breaker))
        await post(endpoint)
        failure = await post(endpoint)
        assert isinstance(failure, Failure)
        assert failure.kind is FaultKind.HTTP_5XX
        assert endpoint.health().failure_rate == 0.5
        assert endpoint.health().last_failure == 'HTTP 503 {"detail": "loading"}'
        await post(endpoint)
        assert endpoint.health().state is BreakerState.OPEN
        assert endpoint.health().failure_rate == pytest.approx(2 / 3)
        assert isinstance(await post(endpoint), Reply)
        assert endpoint.health().state is BreakerState.CLOSED
        assert endpoint.health().failure_rate == 0.0
