import pytest

from agentrft.domain.faults import Fault, FaultKind, FaultOwner
from agentrft.grading.endpoint import EndpointScorer
from agentrft.grading.scoring import Score, Subject
from agentrft.grading.specs import read_spec
from tests.tools.scripted_endpoint import Answer, Break, Hang, ScriptedEndpoint

SUBJECT = Subject(sample={"output_text": "94"}, item={"reference_answer": "94"}, trace_id="trace_0123")
OK = Answer(body={"score": 0.5})


async def grade(*steps, timeout_s: float = 60.0, **fields):
    async with ScriptedEndpoint(*steps) as server:
        spec = read_spec({"type": "endpoint", "name": "mine", "url": server.url, **fields})
        scorer = EndpointScorer(spec, timeout_s=timeout_s, backoff_s=lambda attempt: 0.0)
        await scorer.open()
        try:
            return await scorer.score(SUBJECT), server.requests
        finally:
            await scorer.close()


async def test_the_request_is_that_of_the_reference() -> None:
    _, [request] = await grade(OK, headers={"Authorization": "Bearer s3cret-key"})
    assert request.body == {
        "sample": {"output_text": "94"},
        "item": {"reference_answer": "94"},
        "trace_id": "trace_0123",
    }
    assert request.headers["authorization"] == "Bearer s3cret-key"


@pytest.mark.parametrize(("score", "reward"), [(0.5, 0.5), (1, 1.0), (-3.25, -3.25), (0, 0.0)])
async def test_the_score_is_the_reward(score, reward) -> None:
    result, _ = await grade(Answer(body={"score": score, "comment": "well"}))
    assert result == Score(reward=reward)
    assert isinstance(result.reward, float)


@pytest.mark.parametrize(
    "body",
    [
        b'{"score": NaN}',
        b'{"score": Infinity}',
        b'{"score": ' + b"9" * 400 + b"}",
        b'{"score": true}',
        b'{"score": "0.5"}',
        b'{"score": null}',
        b'{"reward": 1.0}',
        b"[1.0]",
        b"1.0",
        b"",
        b"<html>",
    ],
)
async def test_a_reply_without_a_score_is_a_fault_after_three_retries(body) -> None:
    fault, requests = await grade(Answer(body=body))
    assert isinstance(fault, Fault)
    assert (fault.owner, fault.kind, fault.where) == (FaultOwner.GRADER_ENDPOINT, FaultKind.INVALID_SCORE, "mine")
    assert (fault.attempts, len(requests)) == (4, 4)


@pytest.mark.parametrize(
    ("step", "kind"),
    [
        (Answer(status=500), FaultKind.HTTP_5XX),
        (Answer(status=429), FaultKind.OVERLOADED),
        (Answer(status=422, body={"score": 1.0}), FaultKind.GRADER_ERROR),
        (Answer(body={"score": 1.0, "why": "x" * 2_000_000}), FaultKind.INVALID_REPLY),
        (Hang(), FaultKind.TIMEOUT),
        (Break(), FaultKind.CONNECTION),
    ],
)
async def test_every_failure_is_retried_and_then_a_fault_never_a_zero(step, kind) -> None:
    fault, requests = await grade(step, timeout_s=0.1 if step == Hang() else 30.0)
    assert isinstance(fault, Fault)
    assert (fault.kind, fault.attempts) == (kind, 4)
    assert len(requests) == 4 or step == Hang()  # a busy machine may not have read what it gave up on


@pytest.mark.parametrize("status", [401, 403, 404, 307])
async def test_a_failure_that_cannot_pass_is_not_retried(status) -> None:
    fault, requests = await grade(Answer(status=status))
    assert isinstance(fault, Fault)
    assert len(requests) == 1


async def test_a_failure_that_passes_is_forgotten() -> None:
    result, requests = await grade(Answer(status=503), Answer(body={}), OK)
    assert (result, len(requests)) == (Score(reward=0.5), 3)


async def test_no_secret_gets_into_a_fault() -> None:
    leak = Answer(status=400, body={"got": "Bearer s3cret-key"})
    fault, _ = await grade(leak, headers={"Authorization": "Bearer s3cret-key"})
    assert isinstance(fault, Fault)
    assert "s3cret" not in repr(fault)


async def test_retries_wait_for_their_turn_too() -> None:
    result, requests = await grade(Answer(status=503), OK, rate_limit=1000.0)
    assert (result, len(requests)) == (Score(reward=0.5), 2)
