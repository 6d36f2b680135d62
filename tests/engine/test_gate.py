"""A job pauses itself for an endpoint that fails too often, and goes on when it answers again."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from agentrft.domain.episode import Group, ToolCall
from agentrft.domain.errors import JobFailed
from agentrft.domain.faults import Fault
from agentrft.domain.job import FaultLimits, Limits, Sampling
from agentrft.engine.attempts import Examiner
from agentrft.engine.gate import Gate
from agentrft.engine.progress import Progress
from agentrft.engine.rollout import Agent
from agentrft.ports import CallContext
from agentrft.testing import (
    FakeSampler,
    FunctionGrader,
    InProcessTools,
    MemoryJournal,
    MemoryLifecycle,
    WordChat,
    an_item,
    broken_grader,
    broken_tool,
)

PLACES = 4
LIMITS = FaultLimits(window=20, min_faults=1, probe_interval_s=0.001)
Search = Callable[[ToolCall, CallContext], str | Fault | Awaitable[str | Fault]]


class Outage:
    """A tool that fails for its first `length` calls; the first attempts all call it at the same time."""

    def __init__(self, length: int) -> None:
        self._left = length
        self._together = asyncio.Barrier(PLACES)
        self.calls: list[CallContext] = []

    async def search(self, call: ToolCall, context: CallContext) -> str | Fault:
        self.calls.append(context)
        if len(self.calls) <= PLACES:
            await self._together.wait()
        self._left -= 1
        return broken_tool("search") if self._left >= 0 else "ok"


class NewsJournal(MemoryJournal):
    """Tells a test when the first warning comes."""

    def __init__(self) -> None:
        super().__init__()
        self.warned = asyncio.Event()

    async def warn(self, message: str, *, data: Mapping[str, Any] | None = None) -> None:
        await super().warn(message, data=data)
        self.warned.set()


def always_broken(call: ToolCall, context: CallContext) -> Fault:
    return broken_tool("search")


def examiner_with(
    journal: MemoryJournal, search: Search, *, grader: FunctionGrader | None = None, limits: FaultLimits = LIMITS
) -> Examiner:
    chat = WordChat()
    agent = Agent(
        sampler=FakeSampler(chat, [["search(a)"], ["3"]]),
        chat=chat,
        tools=InProcessTools({"search": search}),
        sampling=Sampling(max_turn_tokens=16, max_context_tokens=256),
        limits=Limits(wall_clock_s=20.0),
        seed=5,
    )
    grader = grader or FunctionGrader(lambda episode: 1.0)
    return Examiner(agent=agent, grader=grader, gate=Gate(limits, journal), max_attempts=3)


async def run(examiner: Examiner, journal: MemoryJournal, *, size: int = PLACES) -> Group:
    progress = Progress(journal, split="train", step=2, phase="sampling")
    await progress.expect(size)
    return await examiner.run_group(an_item(), size=size, first_attempt=0, progress=progress)


async def test_the_job_pauses_says_why_and_goes_on_when_a_probe_succeeds() -> None:
    journal, outage = MemoryJournal(), Outage(6)
    group = await run(examiner_with(journal, outage.search), journal)
    assert len(group.valid) == PLACES
    paused, resumed = journal.warnings
    assert re.match(
        r"Paused: the tool search failed (\d) of the last \1 calls: the endpoint of search answered", paused
    )
    assert resumed.startswith("Resumed: the tool search answers again after 0 s")


async def test_while_the_job_waits_its_phase_says_so_and_no_attempt_begins() -> None:
    journal, outage = MemoryJournal(), Outage(6)
    group = await run(examiner_with(journal, outage.search), journal)
    assert [entry.phase for entry in journal.progress_entries] == ["sampling", "waiting", *["sampling"] * 5]
    attempts = [context.attempt for context in outage.calls]
    assert attempts[4:7] == [attempts[4]] * 3  # three probes, the third of which succeeds
    assert (sorted(attempts[:4]), sorted(attempts[7:])) == ([0, 1, 2, 3], [4, 5, 6, 7])
    assert len(group.episodes) == 8  # no probe is in the group


async def test_a_probe_is_the_very_call_that_failed() -> None:
    journal, outage = MemoryJournal(), Outage(4)
    await run(examiner_with(journal, outage.search), journal)
    assert outage.calls[4] in outage.calls[:4]


async def test_a_broken_grader_is_probed_with_the_episode_that_it_failed_on() -> None:
    journal, answers = MemoryJournal(), iter([broken_grader(), broken_grader()])
    grader = FunctionGrader(lambda episode: next(answers, 1.0))
    group = await run(examiner_with(journal, lambda call, context: "ok", grader=grader), journal, size=1)
    assert [graded.valid for graded in group.episodes] == [False, True]
    assert journal.warnings[0].startswith("Paused: the grader grader failed 1 of the last 1 calls")
    first, second, probed, last = [episode.trace_id for episode in grader.graded]
    assert first == second == probed != last


async def test_attempts_that_are_live_keep_what_they_have() -> None:
    journal, healed = NewsJournal(), asyncio.Event()

    async def search(call: ToolCall, context: CallContext) -> str | Fault:
        if context.attempt == 1:
            await journal.warned.wait()
            healed.set()
            return "ok"
        return "ok" if healed.is_set() else broken_tool("search")

    group = await run(examiner_with(journal, search), journal)
    assert [graded.valid for graded in group.episodes if graded.episode.attempt == 1] == [True]
    assert len(group.valid) == PLACES


async def test_a_pause_that_takes_too_long_fails_the_job_with_a_reason() -> None:
    journal = MemoryJournal()
    with pytest.raises(JobFailed) as failure:
        await run(examiner_with(journal, always_broken, limits=replace(LIMITS, max_pause_s=0.05)), journal)
    assert (failure.value.code, failure.value.param) == ("tool_unavailable", "method.reinforcement.tools")
    for part in ("waited 0.05 s", "the tool search failed", "answered 500", "Mend", "faults.max_pause_s"):
        assert part in failure.value.message


async def test_a_job_that_waits_can_be_cancelled() -> None:
    journal, before = NewsJournal(), asyncio.all_tasks()
    examiner = examiner_with(journal, always_broken, limits=replace(LIMITS, probe_interval_s=1000.0))
    task = asyncio.ensure_future(run(examiner, journal))
    await journal.warned.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert asyncio.all_tasks() == before


async def test_two_endpoints_that_fail_are_waited_for_one_after_the_other() -> None:
    journal, outage, answers = MemoryJournal(), Outage(4), iter([broken_grader()])
    grader = FunctionGrader(lambda episode: next(answers, 1.0))
    group = await run(examiner_with(journal, outage.search, grader=grader), journal)
    assert [warning.split(":")[0] for warning in journal.warnings] == ["Paused", "Resumed", "Paused", "Resumed"]
    assert len(group.valid) == PLACES


async def test_a_call_that_fails_for_ever_does_not_hold_the_job_when_others_are_answered() -> None:
    journal = MemoryJournal()

    def search(call: ToolCall, context: CallContext) -> str | Fault:
        return broken_tool("search") if context.attempt == 0 else "ok"

    group = await run(examiner_with(journal, search), journal)
    assert len(group.valid) == PLACES
    assert journal.warnings[-1].endswith("but not what failed last: the endpoint of search answered 500.")


async def test_with_a_lifecycle_a_probe_has_a_machine_of_its_own() -> None:
    journal, outage, lifecycle = MemoryJournal(), Outage(5), MemoryLifecycle()
    examiner = replace(examiner_with(journal, outage.search), lifecycle=lifecycle)
    await run(examiner, journal)
    probes = outage.calls[4:6]
    assert len({context.trace_id for context in outage.calls}) == len(outage.calls)
    for probe in probes:
        assert probe.trace_id in [context.trace_id for context in lifecycle.begun]
        assert probe.trace_id in [context.trace_id for context, _ in lifecycle.ended]


async def test_with_a_lifecycle_a_broken_grader_is_probed_with_a_whole_attempt_outside_the_group() -> None:
    journal, lifecycle, answers = MemoryJournal(), MemoryLifecycle(), iter([broken_grader(), broken_grader()])
    grader = FunctionGrader(lambda episode: next(answers, 1.0))
    examiner = replace(examiner_with(journal, lambda call, context: "ok", grader=grader), lifecycle=lifecycle)
    group = await run(examiner, journal, size=1)
    assert [graded.valid for graded in group.episodes] == [False, True]
    assert len({episode.trace_id for episode in grader.graded}) == len(lifecycle.ended) == 4


async def test_a_lifecycle_that_is_down_pauses_the_job() -> None:
    down = iter([broken_tool("lifecycle")] * 5)
    journal, lifecycle = MemoryJournal(), MemoryLifecycle(lambda context: next(down, None))
    examiner = replace(examiner_with(journal, lambda call, context: "ok"), lifecycle=lifecycle)
    group = await run(examiner, journal)
    assert len(group.valid) == PLACES
    assert journal.warnings[0].startswith("Paused: the lifecycle's URL failed")
