"""Tools and graders that are plain functions of the test's own process, and whoever hears of episodes."""

import inspect
from collections.abc import Awaitable, Callable, Mapping

from agentrft.domain.episode import Episode, Grade, StopReason, ToolCall, ToolResult
from agentrft.domain.faults import Fault, FaultKind, FaultOwner
from agentrft.ports import CallContext

Output = str | ToolResult | Fault
ToolFunction = Callable[[ToolCall, CallContext], Output | Awaitable[Output]]
GraderFunction = Callable[[Episode], float | Grade | Fault]


class InProcessTools:
    """`agentrft.ports.Tools` that calls a function by the tool's name; `calls` keeps every call with its context.

    A function gives the text to show, or a whole result, or a fault (`broken_tool` makes one).
    """

    def __init__(self, functions: Mapping[str, ToolFunction]) -> None:
        self._functions = functions
        self.calls: list[tuple[ToolCall, CallContext]] = []

    async def call(self, call: ToolCall, context: CallContext) -> ToolResult | Fault:
        self.calls.append((call, context))
        outcome = self._functions[call.name](call, context)
        output = await outcome if inspect.isawaitable(outcome) else outcome
        if isinstance(output, str):
            return ToolResult(call_id=call.call_id, name=call.name, output=output)
        return output


class FunctionGrader:
    """`agentrft.ports.Grader` that calls a function; a number becomes a grade. `graded` keeps the episodes it saw."""

    def __init__(self, function: GraderFunction) -> None:
        self._function = function
        self.graded: list[Episode] = []

    async def grade(self, episode: Episode) -> Grade | Fault:
        self.graded.append(episode)
        verdict = self._function(episode)
        return Grade(reward=verdict, parts={"function": verdict}) if isinstance(verdict, int | float) else verdict


class MemoryLifecycle:
    """`agentrft.ports.Lifecycle` that keeps what it hears: `begun`, and `ended` with why.

    Args:
        fault: which attempts cannot begin, and why.
    """

    def __init__(self, fault: Callable[[CallContext], Fault | None] = lambda context: None) -> None:
        self._fault = fault
        self.begun: list[CallContext] = []
        self.ended: list[tuple[CallContext, StopReason | None]] = []

    async def begin(self, context: CallContext) -> Fault | None:
        self.begun.append(context)
        return self._fault(context)

    def end(self, context: CallContext, stop: StopReason | None) -> None:
        self.ended.append((context, stop))


def broken_tool(name: str) -> Fault:
    """What an adapter reports when a tool's endpoint answered 500 to every try."""
    return Fault(
        owner=FaultOwner.TOOL_ENDPOINT,
        kind=FaultKind.HTTP_5XX,
        where=name,
        message=f"the endpoint of {name} answered 500",
        attempts=3,
    )


def broken_grader() -> Fault:
    """What an adapter reports when a grader's endpoint gave no score."""
    return Fault(
        owner=FaultOwner.GRADER_ENDPOINT,
        kind=FaultKind.INVALID_REPLY,
        where="grader",
        message="the grader's reply holds no score",
        attempts=3,
    )
