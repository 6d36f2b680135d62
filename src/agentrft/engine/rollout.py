"""One attempt at one item: the policy and the tools take turns until there is an answer or a budget is used up.

    open -> sample -> parse -> answer?  -> Episode
              ^          |
              |          v
           extend <- call the tools (all calls of the turn at once)

What the policy does wrong is shown to it and stays in the episode. What an endpoint or the platform does wrong ends the
episode with a `Fault`: it then says nothing about the policy (rl-engine reference, section 1.6).
"""

import asyncio
import contextlib
import time
from dataclasses import dataclass, replace

from agentrft.domain.episode import (
    Completion,
    Episode,
    FinishReason,
    Item,
    Message,
    StopReason,
    ToolCall,
    ToolResult,
    Turn,
)
from agentrft.domain.faults import Fault, FaultKind, FaultOwner, JobFate
from agentrft.domain.ids import new_hex_id
from agentrft.domain.job import Limits, Sampling
from agentrft.engine.fanout import all_of
from agentrft.engine.seeds import derive_seed
from agentrft.engine.transcript import Transcript
from agentrft.ports import CallContext, ChatFormat, Sampler, SampleRequest, Tools

RELEASE_TIMEOUT_S = 10.0  # releasing is a hint: a sampler that does not answer must not hold up the step


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    """Who acts: a policy behind a sampler, the format it speaks, the tools it has, and its budgets."""

    sampler: Sampler
    chat: ChatFormat
    tools: Tools
    sampling: Sampling
    limits: Limits
    seed: int


async def run_episode(
    agent: Agent, item: Item, *, step: int, attempt: int, group: str = "", trace_id: str | None = None
) -> Episode:
    """Let the agent attempt the item once.

    The tokens drawn depend on the agent's seed, the step, the item's index, the attempt and the turn alone.

    Args:
        group, trace_id: by which the user's endpoints know the attempt; without a trace id it gets a new one.

    Returns:
        The episode, whatever happened to it: `stop` says why it ended, `fault` whether it can be graded.
    """
    trace_id = trace_id or new_hex_id("trace_")
    context = CallContext(trace_id=trace_id, item=item, step=step, attempt=attempt, turn=0, group=group)
    rollout = _Rollout(agent, context)
    deadline = asyncio.timeout(agent.limits.wall_clock_s)
    try:
        async with deadline:
            await rollout.play()
    except TimeoutError:
        if not deadline.expired():
            raise
        rollout.end_late()
    finally:
        await _release(agent.sampler, trace_id)
    return rollout.episode()


async def _release(sampler: Sampler, session: str) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(RELEASE_TIMEOUT_S):
            await sampler.release(session)


class _Rollout:
    """An episode while it runs. `stop` is None until it has ended."""

    def __init__(self, agent: Agent, context: CallContext) -> None:
        self.agent = agent
        self.context = context
        self.transcript = Transcript()
        self.turns: list[Turn] = []
        self.stop: StopReason | None = None
        self.fault: Fault | None = None
        self._awaited: list[ToolCall] = []  # the calls without an answer yet
        self._in_tools_s = 0.0
        self._started_at = time.time()
        self._started = time.monotonic()

    @property
    def item(self) -> Item:
        return self.context.item

    async def play(self) -> None:
        """Turn after turn until `stop` is set."""
        self.transcript.read(self.agent.chat.open(self.item.messages, self.item.tools), turn=0)
        while self.stop is None:
            await self._turn(len(self.turns))

    async def _turn(self, turn: int) -> None:
        room = self.agent.sampling.max_context_tokens - len(self.transcript)
        if room < 1:
            self.stop = StopReason.CONTEXT
            return
        self.context = replace(self.context, turn=turn)
        completion = await self._sample(room)
        self.stop = self._ending(completion, room=room)
        if self.stop is None:
            await self._call_tools(completion)

    async def _sample(self, room: int) -> Completion:
        started_at, started = time.time(), time.monotonic()
        completion = await self.agent.sampler.sample(self._request(room))
        self.transcript.write(completion, turn=self.context.turn)
        self.turns.append(
            Turn(
                message=self.agent.chat.parse(completion.ids),
                sampled_tokens=len(completion.ids),
                reasoning_tokens=self.agent.chat.count_reasoning(completion.ids),
                latency_s=time.monotonic() - started,
                started_at=started_at,
            )
        )
        return completion

    def _request(self, room: int) -> SampleRequest:
        here = self.context
        return SampleRequest(
            session=here.trace_id,
            prompt=self.transcript.ids,
            max_tokens=min(self.agent.sampling.max_turn_tokens, room),
            stop_ids=self.agent.chat.stop_ids,
            sampling=self.agent.sampling,
            seed=derive_seed(self.agent.seed, here.step, here.item.index, here.attempt, here.turn),
        )

    def _ending(self, completion: Completion, *, room: int) -> StopReason | None:
        """Why the episode ends with this completion, if it does."""
        if completion.finish is not FinishReason.STOP and not self._closed(completion):
            return StopReason.CONTEXT if room < self.agent.sampling.max_turn_tokens else StopReason.MAX_TOKENS
        if not self._message.tool_calls:
            return StopReason.ANSWER
        if len(self.turns) >= self.agent.limits.max_turns:
            return StopReason.MAX_TURNS
        return None

    async def _call_tools(self, completion: Completion) -> None:
        """Make the turn's calls as far as the budget goes, and show the policy what came back."""
        calls = self._message.tool_calls
        budget = self.agent.limits.max_tool_calls - sum(len(turn.message.tool_calls) for turn in self.turns[:-1])
        started = time.monotonic()
        self._awaited = list(calls[:budget])
        try:
            outcomes = await all_of(self._answer(call, first=index == 0) for index, call in enumerate(calls[:budget]))
        finally:
            self._in_tools_s += time.monotonic() - started
        results = tuple(outcome for outcome in outcomes if isinstance(outcome, ToolResult))
        self.turns[-1] = replace(self.turns[-1], results=results)
        faults = [outcome for outcome in outcomes if isinstance(outcome, Fault)]
        if faults:
            # The gravest counts: a failure of ours must end the job, whatever else failed in the turn.
            self.stop = StopReason.FAULT
            self.fault = max(faults, key=lambda fault: fault.treatment.job is JobFate.FAILS)
        elif len(calls) > budget:
            self.stop = StopReason.MAX_TOOL_CALLS
        else:
            shown = self.agent.chat.extend(results, stopped=self._closed(completion))
            self.transcript.read(shown, turn=self.context.turn)

    async def _answer(self, call: ToolCall, *, first: bool) -> ToolResult | Fault:
        refusal = self._refusal(call, first=first)
        if refusal is not None:
            outcome: ToolResult | Fault = ToolResult(
                call_id=call.call_id, name=call.name, output=f"Error: {refusal}", status=400, is_error=True
            )
        else:
            outcome = await self.agent.tools.call(call, self.context)
        self._awaited.remove(call)
        if isinstance(outcome, Fault):
            return outcome
        kept = self.agent.chat.truncate(outcome.output, self.agent.limits.max_tool_output_tokens)
        return replace(outcome, output=kept)

    def _refusal(self, call: ToolCall, *, first: bool) -> str | None:
        """Why the call is answered without being sent: the policy's own mistakes."""
        names = [tool.name for tool in self.item.tools]
        if call.error is not None:
            return call.error
        if call.name not in names:
            return f"there is no tool named {call.name!r}; the tools are: {', '.join(names) or 'none'}"
        if not first and not self.item.parallel_tool_calls:
            return "only one tool call a turn is allowed; this one was not made"
        return None

    @property
    def _message(self) -> Message:
        return self.turns[-1].message

    def _closed(self, completion: Completion) -> bool:
        return bool(completion.ids) and completion.ids[-1] in self.agent.chat.stop_ids

    def end_late(self) -> None:
        """The wall clock ran out: that is the fault of whom the episode has waited for longest."""
        calls = [call.name for call in self._awaited] or [result.name for result in self._slowest_first()]
        in_tools = self._in_tools_s > (time.monotonic() - self._started) / 2 and bool(calls)
        where = calls[0] if in_tools else "sampler"
        self.stop = StopReason.FAULT
        self.fault = Fault(
            owner=FaultOwner.TOOL_ENDPOINT if in_tools else FaultOwner.PLATFORM,
            kind=FaultKind.DEADLINE,
            where=where,
            message=f"the episode took longer than {self.agent.limits.wall_clock_s:g} s, most of it waiting for the "
            f"{'tool ' if in_tools else ''}{where}, and broke off in turn {self.context.turn}",
        )

    def _slowest_first(self) -> list[ToolResult]:
        results = [result for turn in self.turns for result in turn.results]
        return sorted(results, key=lambda result: -result.latency_s)

    def episode(self) -> Episode:
        assert self.stop is not None, "an episode that has not ended"
        return Episode(
            trace_id=self.context.trace_id,
            item=self.item,
            attempt=self.context.attempt,
            turns=tuple(self.turns),
            tokens=self.transcript.tokens(),
            stop=self.stop,
            fault=self.fault,
            started_at=self._started_at,
            latency_s=time.monotonic() - self._started,
        )
