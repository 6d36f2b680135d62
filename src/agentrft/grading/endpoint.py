"""endpoint: the user's own grader behind HTTP (API reference, section 3.8).

Any failure is retried and then discards the episode: a grader that is down must never teach the policy anything.
"""

import json
import math
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from agentrft.domain.faults import Fault, FaultKind, FaultOwner
from agentrft.domain.ids import new_id
from agentrft.grading.scoring import Score, Subject
from agentrft.outbound.endpoint import Endpoint
from agentrft.outbound.signature import Signer
from agentrft.outbound.transport import Failure, Reply, Target, Transport, backoff_s, excerpt, judge_status
from agentrft.outbound.turnstile import Turnstile
from agentrft.wire.graders import EndpointGrader

TIMEOUT_S = 300.0  # a judge behind the endpoint may be a slow model
DEADLINE_S = 600.0
_HOPELESS = frozenset({401, 403, 404, 405, 410})  # will not change between two tries


class EndpointScorer:
    """POSTs {sample, item, trace_id} and reads {"score"}.

    Args:
        timeout_s: for one request.
        deadline_s: for all tries of one grading; waiting for turns under the rate limit is not counted.
        backoff_s: seconds to pause after the n-th failed try, n from 1.
        signer: signs every request; None: they are sent unsigned.

    `endpoint` says how the grader is doing, and when it is well again.
    """

    def __init__(
        self,
        spec: EndpointGrader,
        *,
        timeout_s: float = TIMEOUT_S,
        deadline_s: float = DEADLINE_S,
        backoff_s: Callable[[int], float] = backoff_s,
        signer: Signer | None = None,
    ) -> None:
        self._name = spec.name
        self._target = Target(
            url=spec.url, headers=spec.headers or {}, timeout_s=timeout_s, deadline_s=deadline_s, signer=signer
        )
        self._transport = Transport(backoff_s=backoff_s)
        turnstile = Turnstile(rate_limit=spec.rate_limit)
        self.endpoint = Endpoint(spec.name, self._target, transport=self._transport, turnstile=turnstile)

    async def open(self) -> None:
        await self._transport.__aenter__()

    async def close(self) -> None:
        await self._transport.__aexit__(None, None, None)

    async def score(self, subject: Subject) -> Score | Fault:
        body = json.dumps({"sample": subject.sample, "item": subject.item, "trace_id": subject.trace_id})
        outcome = await self.endpoint.post(
            body.encode("ascii"),
            # A second grading of one episode is a new request: a server that remembers must not answer it from memory.
            headers={"Idempotency-Key": new_id("grade_"), "X-Agentrft-Trace-Id": quote(subject.trace_id)},
            judge=self._judge,
        )
        if isinstance(outcome, Reply):
            return Score(reward=_read_score(outcome))
        return Fault(
            owner=FaultOwner.GRADER_ENDPOINT,
            kind=outcome.kind,
            where=self._name,
            message=outcome.message,
            attempts=outcome.attempts,
        )

    def _judge(self, reply: Reply) -> Failure | None:
        bad_status = judge_status(reply, headers=self._target.headers)
        if bad_status is not None:
            return bad_status
        if reply.status >= 400:
            text = f"HTTP {reply.status} {excerpt(reply, headers=self._target.headers)}".strip()
            return Failure(kind=FaultKind.GRADER_ERROR, message=text, retry=reply.status not in _HOPELESS)
        if reply.too_large:
            return Failure(kind=FaultKind.INVALID_REPLY, message="the reply is larger than 1 MB")
        try:
            _read_score(reply)
        except ValueError as error:
            said = excerpt(reply, headers=self._target.headers) or "an empty reply"
            return Failure(kind=FaultKind.INVALID_SCORE, message=f'{error}, want {{"score": <float>}}, got: {said}')
        return None


def _read_score(reply: Reply) -> float:
    """The finite number under `score`, or a ValueError that says what is there instead."""
    try:
        payload: Any = json.loads(reply.body)
    except (ValueError, RecursionError):
        raise ValueError("the reply is no JSON") from None
    score = payload.get("score") if isinstance(payload, dict) else None
    if isinstance(score, bool) or not isinstance(score, int | float):
        raise ValueError("the reply has no number under 'score'")
    if abs(score) > 1e300 or not math.isfinite(score):
        raise ValueError("the score is not finite")
    return float(score)
