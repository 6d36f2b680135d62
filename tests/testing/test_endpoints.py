"""Functions stand in for endpoints."""

from dataclasses import replace

from agentrft.domain.episode import Grade, StopReason, ToolCall, ToolResult
from agentrft.ports import CallContext
from agentrft.testing import (
    FunctionGrader,
    InProcessTools,
    MemoryLifecycle,
    an_episode,
    an_item,
    broken_grader,
    broken_tool,
)

CALL = ToolCall(call_id="call_1", name="search", arguments="a")
CONTEXT = CallContext(trace_id="trace_1", item=an_item(), step=1, attempt=0, turn=0)


async def test_a_text_becomes_a_result_of_the_call() -> None:
    tools = InProcessTools({"search": lambda call, context: f"{call.arguments} in step {context.step}"})
    assert await tools.call(CALL, CONTEXT) == ToolResult(call_id="call_1", name="search", output="a in step 1")
    assert tools.calls == [(CALL, CONTEXT)]


async def test_a_coroutine_function_is_awaited() -> None:
    async def search(call: ToolCall, context: CallContext) -> str:
        return "later"

    result = await InProcessTools({"search": search}).call(CALL, CONTEXT)
    assert isinstance(result, ToolResult)
    assert result.output == "later"


async def test_a_fault_is_passed_on() -> None:
    fault = broken_tool("search")
    assert await InProcessTools({"search": lambda call, context: fault}).call(CALL, CONTEXT) is fault


async def test_a_number_becomes_a_grade_and_a_fault_stays_one() -> None:
    grader = FunctionGrader(lambda episode: 0.5)
    assert await grader.grade(an_episode()) == Grade(reward=0.5, parts={"function": 0.5})
    assert len(grader.graded) == 1
    assert await FunctionGrader(lambda episode: broken_grader()).grade(an_episode()) == broken_grader()


async def test_a_lifecycle_keeps_what_it_hears_and_refuses_whom_it_is_told_to() -> None:
    lifecycle = MemoryLifecycle(lambda context: broken_tool("lifecycle") if context.attempt else None)
    assert await lifecycle.begin(CONTEXT) is None
    assert await lifecycle.begin(replace(CONTEXT, attempt=1)) == broken_tool("lifecycle")
    lifecycle.end(CONTEXT, StopReason.ANSWER)
    assert [context.attempt for context in lifecycle.begun] == [0, 1]
    assert lifecycle.ended == [(CONTEXT, StopReason.ANSWER)]
