"""How an episode goes, and why it ends."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest

from agentrft.domain.episode import Completion, Episode, Item, StopReason, TokenKind, ToolCall, ToolResult
from agentrft.domain.faults import Fault, FaultKind, FaultOwner
from agentrft.domain.job import Limits, Sampling
from agentrft.engine.rollout import Agent, run_episode
from agentrft.ports import CallContext, SampleRequest
from agentrft.testing import FakeSampler, InProcessTools, WordChat, an_item, broken_tool


def look_up(call: ToolCall, context: CallContext) -> str:
    return f"found {call.arguments}"


def agent_with(
    turns: Sequence[Sequence[str]],
    *,
    tools: InProcessTools | None = None,
    limits: Limits | None = None,
    sampling: Sampling | None = None,
) -> Agent:
    chat = WordChat()
    return Agent(
        sampler=FakeSampler(chat, turns),
        chat=chat,
        tools=tools or InProcessTools({"search": look_up, "cat": look_up}),
        sampling=sampling or Sampling(max_turn_tokens=16, max_context_tokens=256),
        limits=limits or Limits(wall_clock_s=20.0),
        seed=5,
    )


def sampler_of(agent: Agent) -> FakeSampler:
    assert isinstance(agent.sampler, FakeSampler)
    return agent.sampler


def calls_sent(agent: Agent) -> list[str]:
    assert isinstance(agent.tools, InProcessTools)
    return [call.arguments for call, _ in agent.tools.calls]


async def play(agent: Agent, item: Item | None = None, *, attempt: int = 0) -> Episode:
    return await run_episode(agent, item or an_item(tools=("search", "cat")), step=3, attempt=attempt)


async def test_an_answer_ends_the_episode() -> None:
    agent = agent_with([["search(a)"], ["it is 3"]])
    episode = await play(agent)
    assert episode.stop is StopReason.ANSWER
    assert episode.answer == "it is 3"
    assert [len(turn.results) for turn in episode.turns] == [1, 0]
    assert episode.turns[0].results[0].output == "found a"
    assert episode.fault is None


async def test_each_turn_is_sampled_from_all_tokens_so_far() -> None:
    agent = agent_with([["search(a)"], ["cat(b)"], ["it is 3"]])
    episode = await play(agent)
    prompts = [request.prompt for request in sampler_of(agent).requests]
    assert len(prompts) == 3
    for shorter, longer in zip(prompts, [*prompts[1:], episode.tokens.ids], strict=True):
        assert longer[: len(shorter)] == shorter
    assert [
        sum(
            kind is TokenKind.SAMPLED and where == turn
            for kind, where in zip(episode.tokens.kinds, episode.tokens.turns, strict=True)
        )
        for turn in range(3)
    ] == [turn.sampled_tokens for turn in episode.turns]


async def test_the_sampled_tokens_carry_what_the_sampler_said() -> None:
    agent = agent_with([["yes it is", "no"]])
    episode = await play(agent)
    logps = [
        logp for logp, kind in zip(episode.tokens.logps, episode.tokens.kinds, strict=True) if kind is TokenKind.SAMPLED
    ]
    assert sum(logps) == pytest.approx(-0.6931, abs=1e-3)
    assert episode.sampled_tokens == len(logps)


async def test_reasoning_is_counted() -> None:
    episode = await play(agent_with([["<think> so many </think> 3"]]))
    assert episode.reasoning_tokens == 2
    assert episode.turns[0].message.reasoning == "so many"


async def test_all_calls_of_a_turn_run_at_once() -> None:
    barrier = asyncio.Barrier(3)

    async def meet(call: ToolCall, context: CallContext) -> str:
        await barrier.wait()
        return "met"

    agent = agent_with([["search(a) search(b) search(c)"], ["done"]], tools=InProcessTools({"search": meet}))
    episode = await play(agent)
    assert [result.output for result in episode.turns[0].results] == ["met"] * 3


async def test_every_call_of_an_episode_carries_one_trace_id_and_its_turn() -> None:
    agent = agent_with([["search(a) search(b)"], ["cat(c)"], ["done"]])
    episode = await play(agent, attempt=2)
    assert isinstance(agent.tools, InProcessTools)
    contexts = [context for _, context in agent.tools.calls]
    assert {context.trace_id for context in contexts} == {episode.trace_id}
    assert [context.turn for context in contexts] == [0, 0, 1]
    assert {(context.step, context.attempt) for context in contexts} == {(3, 2)}


async def test_the_last_allowed_turn_makes_no_more_calls() -> None:
    agent = agent_with([["search(a)"], ["search(b)"]], limits=Limits(max_turns=2))
    episode = await play(agent)
    assert episode.stop is StopReason.MAX_TURNS
    assert calls_sent(agent) == ["a"]
    assert episode.answer == ""


async def test_calls_beyond_the_budget_are_not_sent_and_end_the_episode() -> None:
    agent = agent_with([["search(a) search(b)"], ["search(c) search(d)"]], limits=Limits(max_tool_calls=3))
    episode = await play(agent)
    assert episode.stop is StopReason.MAX_TOOL_CALLS
    assert calls_sent(agent) == ["a", "b", "c"]
    assert [len(turn.results) for turn in episode.turns] == [2, 1]


async def test_a_budget_that_is_used_up_exactly_leaves_room_for_the_answer() -> None:
    episode = await play(agent_with([["search(a)"], ["3"]], limits=Limits(max_tool_calls=1)))
    assert episode.stop is StopReason.ANSWER


async def test_a_completion_without_a_stop_token_ends_the_episode() -> None:
    agent = agent_with([["search(a) and on and on"]], sampling=Sampling(max_turn_tokens=3, max_context_tokens=64))
    episode = await play(agent)
    assert episode.stop is StopReason.MAX_TOKENS
    assert calls_sent(agent) == []
    assert episode.sampled_tokens == 3


async def test_a_turn_that_does_not_fit_into_the_context_ends_the_episode() -> None:
    agent = agent_with([["one two three four"]], sampling=Sampling(max_turn_tokens=8, max_context_tokens=12))
    episode = await play(agent)
    assert episode.stop is StopReason.CONTEXT
    assert len(episode.tokens) == 12


async def test_a_tool_result_that_fills_the_context_ends_the_episode() -> None:
    agent = agent_with(
        [["search(a)"]],
        tools=InProcessTools({"search": lambda call, context: "word " * 40}),
        sampling=Sampling(max_turn_tokens=8, max_context_tokens=24),
    )
    episode = await play(agent)
    assert episode.stop is StopReason.CONTEXT
    assert len(episode.turns) == 1


async def test_a_question_longer_than_the_context_ends_before_the_first_turn() -> None:
    agent = agent_with([["3"]], sampling=Sampling(max_turn_tokens=8, max_context_tokens=4))
    episode = await play(agent)
    assert episode.stop is StopReason.CONTEXT
    assert episode.turns == ()
    assert sampler_of(agent).requests == []


async def test_long_tool_output_is_cut_to_its_budget() -> None:
    agent = agent_with(
        [["search(a)"], ["3"]],
        tools=InProcessTools({"search": lambda call, context: "word " * 40}),
        limits=Limits(max_tool_output_tokens=4),
    )
    episode = await play(agent)
    assert episode.turns[0].results[0].output == "word word word [truncated]"
    assert sum(kind is TokenKind.TOOL for kind in episode.tokens.kinds) == 4


async def test_a_call_that_cannot_be_read_is_shown_to_the_policy_and_not_sent() -> None:
    agent = agent_with([["search(a"], ["3"]])
    episode = await play(agent)
    result = episode.turns[0].results[0]
    assert result.is_error
    assert result.status == 400
    assert result.output == "Error: the call of search has no closing bracket"
    assert calls_sent(agent) == []
    assert episode.stop is StopReason.ANSWER


async def test_a_tool_that_was_not_offered_is_not_called() -> None:
    agent = agent_with([["rm(a)"], ["3"]])
    episode = await play(agent)
    assert episode.turns[0].results[0].output == "Error: there is no tool named 'rm'; the tools are: search, cat"
    assert calls_sent(agent) == []


async def test_without_parallel_calls_only_the_first_is_made() -> None:
    agent = agent_with([["search(a) search(b) cat(c)"], ["3"]])
    episode = await play(agent, replace(an_item(tools=("search", "cat")), parallel_tool_calls=False))
    assert calls_sent(agent) == ["a"]
    assert [result.is_error for result in episode.turns[0].results] == [False, True, True]
    assert "only one tool call a turn" in episode.turns[0].results[1].output


async def test_a_fault_of_a_tool_ends_the_episode_and_keeps_what_came_back() -> None:
    tools = InProcessTools({"search": look_up, "cat": lambda call, context: broken_tool("cat")})
    agent = agent_with([["search(a) cat(b)"]], tools=tools)
    episode = await play(agent)
    assert episode.stop is StopReason.FAULT
    assert episode.fault == broken_tool("cat")
    assert [result.name for result in episode.turns[0].results] == ["search"]


async def test_of_several_faults_in_a_turn_the_platform_s_counts() -> None:
    ours = Fault(owner=FaultOwner.PLATFORM, kind=FaultKind.INTERNAL, where="cat", message="not served")
    tools = InProcessTools({"search": lambda call, context: broken_tool("search"), "cat": lambda call, context: ours})
    assert (await play(agent_with([["search(a) cat(b)"]], tools=tools))).fault == ours


async def test_an_error_result_of_a_tool_is_no_fault() -> None:
    def missing(call: ToolCall, context: CallContext) -> ToolResult:
        return ToolResult(call_id=call.call_id, name=call.name, output="no such file", status=404, is_error=True)

    episode = await play(agent_with([["cat(b)"], ["3"]], tools=InProcessTools({"cat": missing})))
    assert episode.stop is StopReason.ANSWER
    assert episode.turns[0].results[0].status == 404


async def never(call: ToolCall, context: CallContext) -> str:
    await asyncio.Event().wait()
    return "never"


async def test_the_wall_clock_ends_an_episode_that_waits_for_a_tool() -> None:
    agent = agent_with(
        [["search(a) cat(b)"]],
        tools=InProcessTools({"search": look_up, "cat": never}),
        limits=Limits(wall_clock_s=0.05),
    )
    episode = await play(agent)
    assert episode.stop is StopReason.FAULT
    assert episode.fault is not None
    assert (episode.fault.owner, episode.fault.kind) == (FaultOwner.TOOL_ENDPOINT, FaultKind.DEADLINE)
    assert episode.fault.where == "cat"
    assert episode.turns[0].message.tool_calls[1].name == "cat"


class StuckSampler(FakeSampler):
    async def sample(self, request: SampleRequest) -> Completion:
        await asyncio.Event().wait()
        raise AssertionError


class StuckLater(FakeSampler):
    """Samples one turn, and then no more."""

    async def sample(self, request: SampleRequest) -> Completion:
        if self.requests:
            await asyncio.Event().wait()
        return await super().sample(request)


class SlowSampler(FakeSampler):
    """Takes its time for every turn."""

    async def sample(self, request: SampleRequest) -> Completion:
        await asyncio.sleep(0.06)
        return await super().sample(request)


async def test_the_wall_clock_ends_an_episode_that_waits_for_the_sampler() -> None:
    agent = agent_with([["3"]], limits=Limits(wall_clock_s=0.05))
    agent = replace(agent, sampler=StuckSampler(WordChat(), []))
    episode = await play(agent)
    assert episode.fault is not None
    assert episode.fault.owner is FaultOwner.PLATFORM
    assert sampler_of(agent).released == [episode.trace_id]


async def test_an_episode_cut_off_in_a_tool_is_the_fault_of_the_sampler_that_took_most_of_the_time() -> None:
    async def look_up_at_first(call: ToolCall, context: CallContext) -> str:
        return "ok" if context.turn == 0 else await never(call, context)

    chat = WordChat()
    agent = agent_with([], tools=InProcessTools({"search": look_up_at_first}), limits=Limits(wall_clock_s=0.15))
    agent = replace(agent, sampler=SlowSampler(chat, [["search(a)"], ["search(b)"]]), chat=chat)
    episode = await play(agent)
    assert len(episode.turns) == 2
    assert episode.fault is not None
    assert (episode.fault.owner, episode.fault.where) == (FaultOwner.PLATFORM, "sampler")


async def test_an_episode_cut_off_in_the_sampler_is_the_fault_of_the_tool_that_took_most_of_the_time() -> None:
    async def dawdle(call: ToolCall, context: CallContext) -> str:
        await asyncio.sleep(0.1)
        return "ok"

    chat = WordChat()
    agent = agent_with([], tools=InProcessTools({"search": dawdle}), limits=Limits(wall_clock_s=0.15))
    agent = replace(agent, sampler=StuckLater(chat, [["search(a)"]]), chat=chat)
    episode = await play(agent)
    assert episode.fault is not None
    assert (episode.fault.owner, episode.fault.where) == (FaultOwner.TOOL_ENDPOINT, "search")


async def test_a_timeout_inside_an_adapter_is_not_taken_for_the_wall_clock() -> None:
    async def careless(call: ToolCall, context: CallContext) -> str:
        raise TimeoutError("the adapter let this through")

    with pytest.raises(TimeoutError, match="let this through"):
        await play(agent_with([["search(a)"]], tools=InProcessTools({"search": careless})))


@pytest.mark.parametrize("outcome", ["answer", "fault", "cancelled", "crash"])
async def test_the_sampler_is_released_however_the_episode_ends(outcome: str) -> None:
    started = asyncio.Event()

    async def end(call: ToolCall, context: CallContext) -> str | Fault:
        started.set()
        if outcome == "fault":
            return broken_tool("search")
        if outcome == "crash":
            raise ZeroDivisionError
        return "ok" if outcome == "answer" else await never(call, context)

    agent = agent_with([["search(a)"], ["3"]], tools=InProcessTools({"search": end}))
    task = asyncio.ensure_future(play(agent))
    await started.wait()
    if outcome == "cancelled":
        task.cancel()
    await asyncio.wait([task])
    assert task.cancelled() == (outcome == "cancelled")
    if outcome == "crash":
        assert isinstance(task.exception(), ZeroDivisionError)
    assert len(sampler_of(agent).released) == 1


async def test_the_tokens_drawn_depend_on_step_item_attempt_and_turn_alone() -> None:
    turns = [["search(a)", "search(b)", "cat(c)", "cat(d)"], ["1", "2", "3", "4"]]

    async def seeds(item: Item, step: int, attempt: int) -> tuple[int, ...]:
        agent = agent_with(turns)
        await run_episode(agent, item, step=step, attempt=attempt)
        return tuple(request.seed for request in sampler_of(agent).requests)

    items = [an_item(0, tools=("search", "cat")), an_item(1, tools=("search", "cat"))]
    first = await seeds(items[0], 1, 0)
    assert first == await seeds(items[0], 1, 0)
    others = [await seeds(items[1], 1, 0), await seeds(items[0], 2, 0), await seeds(items[0], 1, 1)]
    assert len({seed for run in [first, *others] for seed in run}) == 8


async def test_two_episodes_have_two_trace_ids() -> None:
    agent = agent_with([["3"]])
    assert (await play(agent)).trace_id != (await play(agent)).trace_id
