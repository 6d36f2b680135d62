"""A judge model behind OpenAI's Chat Completions: one question, one JSON object back, or a fault.

It goes through our own transport and not through the official client: one deadline over all tries, a retry also where
the reply came but holds no verdict, replies bounded in size, redirects refused, and no secret in any message. A judge
that fails must never teach the policy anything, so there is no verdict of zero for it.
"""

import asyncio
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agentrft.domain.episode import TokenUsage
from agentrft.domain.faults import Fault, FaultKind, FaultOwner
from agentrft.domain.job import JudgeEndpoint
from agentrft.grading.verdicts import Verdicts
from agentrft.outbound.transport import Failure, Reply, Target, Transport, backoff_s, excerpt, judge_status
from agentrft.wire.judging import SamplingParams

_CONFLICT = 409  # of the 4xx that get this far, the only one that another try may pass
_MOST_BRACES = 500  # where an object may begin, before the answer counts as having none
_OPENAI_NAMES = {"max_completions_tokens": "max_completion_tokens"}
VERDICT_TOKENS = 1024  # room for a verdict on one answer, its reasoning included


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What a judge is asked.

    Args:
        messages: in the form of Chat Completions.
        schema_name: for the judge's server, which wants one.
        schema: the JSON schema of the answer.
        read: makes what is wanted of the answer; a ValueError says what is wrong with it.
        room_tokens: in which the answer should have ended.
    """

    messages: Sequence[Mapping[str, Any]]
    schema_name: str
    schema: Mapping[str, Any]
    read: Callable[[Mapping[str, Any]], Any]
    room_tokens: int = VERDICT_TOKENS


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What `Question.read` made of the answer, and what it cost: nothing, when it was known already."""

    value: Any
    usage: TokenUsage


class _BadReply(Exception):
    def __init__(self, kind: FaultKind, message: str, *, retry: bool) -> None:
        super().__init__(message)
        self.failure = Failure(kind=kind, message=message, retry=retry)


class JudgeTurns:
    """How many requests each judge answers at once, for all graders that share this, as those of a job do.

    What judges have said is not shared: who grades a second time wants to hear whether they say the same.
    """

    def __init__(self) -> None:
        self._turns: dict[tuple[str, str], asyncio.Semaphore] = {}

    def of(self, judge: JudgeEndpoint) -> asyncio.Semaphore:
        return self._turns.setdefault((judge.url, judge.model), asyncio.Semaphore(judge.max_concurrency))


class JudgeClient:
    """Asks one judge.

    Args:
        where: the grader's name, for faults.
        turns: of this judge, see JudgeTurns; left out, they are shared with nobody.
        backoff_s: seconds to pause after the n-th failed try, n from 1.
    """

    def __init__(
        self,
        judge: JudgeEndpoint,
        *,
        where: str,
        sampling: SamplingParams | None = None,
        turns: asyncio.Semaphore | None = None,
        backoff_s: Callable[[int], float] = backoff_s,
    ) -> None:
        self._judge = judge
        self._where = where
        self._sampling = _sampling_fields(sampling)
        self._target = Target(
            url=judge.url, headers=judge.headers, timeout_s=judge.timeout_s, deadline_s=judge.deadline_s
        )
        self._transport = Transport(backoff_s=backoff_s)
        self._turns = turns or JudgeTurns().of(judge)
        self._verdicts: Verdicts[Verdict | Fault] = Verdicts(keeps=lambda found: isinstance(found, Verdict))

    @property
    def name(self) -> str:
        return self._judge.name

    async def open(self) -> None:
        await self._transport.__aenter__()

    async def close(self) -> None:
        await self._transport.__aexit__(None, None, None)

    async def ask(self, question: Question) -> Verdict | Fault:
        """The judge's verdict, from memory where the very same question was answered before."""
        body = json.dumps(self._body(question)).encode("ascii")
        key = hashlib.sha256(body).hexdigest()
        found, fresh = await self._verdicts.get(key, lambda: self._post(body, question))
        return found if fresh or isinstance(found, Fault) else Verdict(value=found.value, usage=TokenUsage())

    async def _post(self, body: bytes, question: Question) -> Verdict | Fault:
        async with self._turns:
            outcome = await self._transport.post(
                self._target, body, headers={}, judge=lambda reply: self._find_failure(reply, question)
            )
        if isinstance(outcome, Reply):
            return _read_verdict(outcome, question)
        return Fault(
            owner=FaultOwner.GRADER_ENDPOINT,
            kind=outcome.kind,
            where=self._where,
            message=f"judge {self._judge.name}: {outcome.message}",
            attempts=outcome.attempts,
        )

    def _body(self, question: Question) -> dict[str, Any]:
        # Models of this platform are those of text alone. They cut an answer off early, unless told how long it may be.
        room = {"max_completion_tokens": question.room_tokens} if self._judge.text_only else {}
        body = {"model": self._judge.model, "messages": list(question.messages), **room, **self._sampling}
        if not self._judge.structured:
            return {**body, "messages": _with_schema_in_words(question)}
        schema = {"name": question.schema_name, "strict": True, "schema": question.schema}
        return {**body, "response_format": {"type": "json_schema", "json_schema": schema}}

    def _find_failure(self, reply: Reply, question: Question) -> Failure | None:
        failure = judge_status(reply, headers=self._target.headers)
        if failure is not None:
            return failure
        if reply.status >= 400:
            text = f"HTTP {reply.status} {excerpt(reply, headers=self._target.headers)}".strip()
            return Failure(kind=FaultKind.GRADER_ERROR, message=text, retry=reply.status == _CONFLICT)
        if reply.too_large:
            return Failure(kind=FaultKind.INVALID_REPLY, message="the reply is larger than 1 MB", retry=False)
        try:
            _read_verdict(reply, question)
        except _BadReply as error:
            return error.failure
        return None


def _sampling_fields(sampling: SamplingParams | None) -> dict[str, Any]:
    given = sampling.model_dump(exclude_none=True) if sampling else {}
    return {_OPENAI_NAMES.get(name, name): value for name, value in given.items()}


def _with_schema_in_words(question: Question) -> list[Mapping[str, Any]]:
    """The messages, the last of which asks for the JSON that the server cannot enforce."""
    wish = f"Answer with one JSON object of this schema and nothing else: {json.dumps(question.schema)}"
    *before, last = question.messages
    if last["role"] == "user" and isinstance(last["content"], str):
        return [*before, {**last, "content": f"{last['content']}\n\n{wish}"}]
    return [*before, last, {"role": "user", "content": wish}]


def _read_verdict(reply: Reply, question: Question) -> Verdict:
    """Raises _BadReply."""
    try:
        payload = json.loads(reply.body)
        choice = payload["choices"][0]
        message, finish = choice["message"], choice.get("finish_reason")
        content, refusal = message.get("content"), message.get("refusal")
    except (ValueError, RecursionError, LookupError, TypeError, AttributeError):
        raise _BadReply(FaultKind.INVALID_REPLY, "the reply is no chat completion", retry=True) from None
    if refusal or finish == "content_filter":
        text = f"it refuses to answer: {str(refusal or 'its content filter')[:300]}"
        raise _BadReply(FaultKind.REFUSAL, text, retry=False)
    if finish == "length":
        text = "its answer ended at its token limit; raise sampling_params.max_completions_tokens"
        raise _BadReply(FaultKind.TRUNCATED, text, retry=False)
    return Verdict(value=_read_answer(content, question), usage=_read_usage(payload))


def _read_answer(content: object, question: Question) -> Any:
    found = _find_object(content) if isinstance(content, str) else None
    if found is None:
        said = " ".join(str(content or "nothing").split())[:300]
        raise _BadReply(FaultKind.INVALID_REPLY, f"it answers without a JSON object: {said}", retry=True)
    try:
        return question.read(found)
    except ValueError as error:
        said = " ".join(str(content).split())[:300]
        raise _BadReply(FaultKind.INVALID_SCORE, f"{error}; it answers: {said}", retry=True) from None


def _find_object(content: str) -> Mapping[str, Any] | None:
    """The last JSON object of the text: a judge that nothing holds to a schema thinks aloud first."""
    decoder = json.JSONDecoder()
    found: Mapping[str, Any] | None = None
    position = content.find("{")
    for _ in range(_MOST_BRACES):
        if position < 0:
            break
        try:
            found, end = decoder.raw_decode(content, position)
        except (ValueError, RecursionError):
            end = position + 1
        position = content.find("{", end)
    return found


def _read_usage(payload: Mapping[str, Any]) -> TokenUsage:
    usage = payload.get("usage")
    usage = usage if isinstance(usage, Mapping) else {}
    details = usage.get("prompt_tokens_details")
    cached = details.get("cached_tokens") if isinstance(details, Mapping) else None
    prompt, completion = usage.get("prompt_tokens"), usage.get("completion_tokens")
    counts = [count if isinstance(count, int) else 0 for count in (prompt, completion, cached)]
    return TokenUsage(prompt_tokens=counts[0], completion_tokens=counts[1], cached_tokens=counts[2])
