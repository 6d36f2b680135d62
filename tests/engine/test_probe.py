from dataclasses import replace

from agentrft.domain.episode import Episode, Message, ToolCall, ToolResult, Turn
from agentrft.domain.faults import Fault
from agentrft.domain.job import Limits, Sampling
from agentrft.engine.probe import call_again
from agentrft.engine.rollout import Agent
from agentrft.ports import CallContext
from agentrft.testing import FakeSampler, InProcessTools, WordChat, an_episode, an_item, broken_tool

AT = CallContext(trace_id="", item=an_item(7), step=4, attempt=0, turn=0, group="group_1")


def agent_with(outcome: str | Fault) -> tuple[Agent, InProcessTools]:
    tools = InProcessTools({"search": lambda call, context: outcome, "cat": lambda call, context: outcome})
    chat = WordChat()
    agent = Agent(sampler=FakeSampler(chat, []), chat=chat, tools=tools, sampling=Sampling(), limits=Limits(), seed=1)
    return agent, tools


def a_turn(*calls: tuple[str, str], answered: int) -> Turn:
    made = tuple(ToolCall(call_id=f"call_{n}", name=name, arguments=text) for n, (name, text) in enumerate(calls))
    results = tuple(ToolResult(call_id=call.call_id, name=call.name, output="ok") for call in made[:answered])
    return Turn(message=Message(role="assistant", tool_calls=made), results=results)


def broken_off(*turns: Turn, where: str = "search") -> Episode:
    return replace(an_episode(an_item(7), attempt=3, fault=broken_tool(where)), turns=turns)


async def test_the_call_without_an_answer_is_made_again_with_its_ids() -> None:
    agent, tools = agent_with("ok")
    episode = broken_off(a_turn(("search", "a"), answered=1), a_turn(("search", "b"), ("search", "c"), answered=1))
    assert await call_again(agent, episode, "search", at=AT) is None
    ((call, context),) = tools.calls
    assert (call.arguments, call.call_id) == ("c", "call_1")
    assert context == replace(AT, turn=1)


async def test_of_several_calls_that_of_the_tool_at_fault_is_made() -> None:
    agent, tools = agent_with(broken_tool("cat"))
    episode = broken_off(a_turn(("search", "a"), ("cat", "b"), answered=0), where="cat")
    assert await call_again(agent, episode, "cat", at=AT) == broken_tool("cat")
    assert [call.arguments for call, _ in tools.calls] == ["b"]


async def test_where_the_wall_clock_ran_out_later_the_last_call_of_the_slow_tool_is_made() -> None:
    agent, tools = agent_with("ok")
    answered = [a_turn(("search", "a"), answered=1), a_turn(("cat", "b"), answered=1)]
    episode = broken_off(*answered, Turn(message=Message(role="assistant", content="...")))
    assert await call_again(agent, episode, "search", at=AT) is None
    assert [call.arguments for call, _ in tools.calls] == ["a"]


async def test_an_episode_without_a_call_has_nothing_to_repeat() -> None:
    agent, tools = agent_with(broken_tool("search"))
    assert await call_again(agent, broken_off(), "search", at=AT) is None
    assert tools.calls == []
