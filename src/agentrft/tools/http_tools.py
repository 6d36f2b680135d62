"""The engine's `Tools` port over HTTP: every call of every live episode overlaps, and a call never raises."""

from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from agentrft.domain.episode import ToolCall, ToolResult
from agentrft.domain.errors import UserError
from agentrft.domain.faults import Fault, FaultKind, FaultOwner
from agentrft.domain.job import ToolEndpoint
from agentrft.outbound.endpoint import Endpoint
from agentrft.outbound.signature import Signer
from agentrft.outbound.transport import (
    Failure,
    Reply,
    Target,
    Transport,
    backoff_s,
    find_header_problem,
    find_url_problem,
    judge_status,
)
from agentrft.outbound.turnstile import Turnstile
from agentrft.ports import CallContext
from agentrft.tools.arguments import find_problem
from agentrft.tools.protocol import encode_call, episode_headers, make_fc_id, read_reply

MALFORMED = 400


class HttpTools:
    """Calls the user's tools. Use as an async context manager; it owns one HTTP client.

    Args:
        endpoints: where each tool of the job is served.
        on_misconfigured: called with a tool's name and an HTTP status, once for each such pair, when replies look like
            a mistake in the job or the tool server rather than in the model's call: 401, 403 and the like, or a
            2xx without output.
        backoff_s: seconds to pause after the n-th failed try, n from 1.
        signer: signs every request; None: they are sent unsigned.

    `endpoints` has one entry a tool, in the order given: how each is doing, and when it is well again.

    Raises:
        UserError: an endpoint's address or headers cannot be used, or two endpoints have one name.
    """

    def __init__(
        self,
        endpoints: Sequence[ToolEndpoint],
        *,
        on_misconfigured: Callable[[str, int], None] | None = None,
        backoff_s: Callable[[int], float] = backoff_s,
        signer: Signer | None = None,
    ) -> None:
        _check(endpoints)
        self._on_misconfigured = on_misconfigured
        self._reported: set[tuple[str, int]] = set()
        self._transport = Transport(backoff_s=backoff_s)
        self._settings = {each.name: each for each in endpoints}
        self._served = {each.name: _serve(each, self._transport, signer) for each in endpoints}

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        return tuple(self._served.values())

    async def __aenter__(self) -> Self:
        await self._transport.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._transport.__aexit__(kind, error, traceback)

    async def call(self, call: ToolCall, context: CallContext) -> ToolResult | Fault:
        """What the model is shown for `call`, or whose fault it is that there is nothing to show."""
        problem = find_problem(call, context.item.tools)
        if problem is not None:
            return _malformed(call, problem)
        if call.name not in self._served:
            return _not_served(call.name)
        outcome = await self._post(call, context)
        if isinstance(outcome, Failure):
            return _fault(call.name, outcome)
        return self._show(call, outcome)

    async def _post(self, call: ToolCall, context: CallContext) -> Reply | Failure:
        settings = self._settings[call.name]
        body = encode_call(
            call,
            fc_id=make_fc_id(call.call_id),
            trace_id=context.trace_id,
            item=context.item.row if settings.send_item else {},
        )
        return await self._served[call.name].post(
            body,
            headers=episode_headers(call, context),
            judge=lambda reply: judge_status(reply, headers=settings.headers),
        )

    def _show(self, call: ToolCall, reply: Reply) -> ToolResult:
        reading = read_reply(reply, name=call.name)
        if reading.misconfigured:
            self._report(call.name, reply.status)
        return ToolResult(
            call_id=call.call_id,
            name=call.name,
            output=reading.output,
            latency_s=reply.latency_s,
            status=reading.status,
            is_error=reading.is_error,
        )

    def _report(self, name: str, status: int) -> None:
        if self._on_misconfigured is not None and (name, status) not in self._reported:
            self._reported.add((name, status))
            self._on_misconfigured(name, status)


def _check(endpoints: Sequence[ToolEndpoint]) -> None:
    seen: set[str] = set()
    for index, endpoint in enumerate(endpoints):
        path = f"method.reinforcement.tools[{index}]"
        problems = {
            "server_url": find_url_problem(endpoint.server_url),
            "headers": find_header_problem(endpoint.headers),
            "name": "is used by two tools" if endpoint.name in seen else None,
        }
        for key, problem in problems.items():
            if problem is not None:
                text = f"The {key} of the tool '{endpoint.name}' {problem}."
                raise UserError(text, param=f"{path}.{key}", code="invalid_value")
        seen.add(endpoint.name)


def _serve(settings: ToolEndpoint, transport: Transport, signer: Signer | None) -> Endpoint:
    target = Target(
        url=settings.server_url,
        headers=settings.headers,
        timeout_s=settings.timeout_s,
        deadline_s=settings.deadline_s,
        signer=signer,
    )
    turnstile = Turnstile(max_concurrency=settings.max_concurrency, rate_limit=settings.rate_limit)
    return Endpoint(settings.name, target, transport=transport, turnstile=turnstile)


def _malformed(call: ToolCall, problem: str) -> ToolResult:
    return ToolResult(call_id=call.call_id, name=call.name, output=f"Error: {problem}", status=MALFORMED, is_error=True)


def _not_served(name: str) -> Fault:
    message = f"the row offers the tool '{name}', but the job gives no server_url for it"
    return Fault(owner=FaultOwner.PLATFORM, kind=FaultKind.INTERNAL, where=name, message=message)


def _fault(name: str, failure: Failure) -> Fault:
    return Fault(
        owner=FaultOwner.TOOL_ENDPOINT,
        kind=failure.kind,
        where=name,
        message=failure.message,
        attempts=failure.attempts,
    )
