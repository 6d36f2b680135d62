"""A fault never becomes a reward: the attempt is kept for the record and made again."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest

from agentrft.domain.episode import Episode, Grade, GradedEpisode, Group, StopReason, ToolCall
from agentrft.domain.errors import JobFailed
from agentrft.domain.faults import Fault, FaultKind, FaultOwner
from agentrft.domain.job import Limits, Sampling
from agentrft.engine.attempts import Examiner
from agentrft.engine.progress import Progress
from agentrft.engine.rollout import Agent
from agentrft.engine.verdicts import graded, ranked
from agentrft.ports import CallContext, Grader, GroupGrader
from agentrft.testing import (
    FakeSampler,
    FunctionGrader,
    InProcessTools,
    MemoryJournal,
    MemoryLifecycle,
    WordChat,
    an_episode,
    an_item,
    an_open_gate,
    broken_grader,
    broken_tool,
)


def examiner_with(tools: InProcessTools, grader: Grader | GroupGrader | None = None) -> Examiner:
    chat = WordChat()
    agent = Agent(
        sampler=FakeSampler(chat, [["search(a)"], ["3"]]),
        chat=chat,
        tools=tools,
        sampling=Sampling(max_turn_tokens=16, max_context_tokens=256),
        limits=Limits(wall_clock_s=20.0),
        seed=5,
    )
    grader = grader or FunctionGrader(lambda episode: 1.0)
    return Examiner(agent=agent, grader=grader, gate=an_open_gate(), max_attempts=3)


async def run(examiner: Examiner, journal: MemoryJournal, *, size: int = 4, first_attempt: int = 0) -> Group:
    progress = Progress(journal, split="train", step=2, phase="sampling")
    await progress.expect(size)
    return await examiner.run_group(an_item(), size=size, first_attempt=first_attempt, progress=progress)


def failing_for(attempts: set[int]) -> InProcessTools:
    def search(call: ToolCall, context: CallContext) -> str | Fault:
        return broken_tool("search") if context.attempt in attempts else "ok"

    return InProcessTools({"search": search})


async def test_a_clean_group_has_its_attempts_in_order() -> None:
    journal = MemoryJournal()
    group = await run(examiner_with(failing_for(set())), journal, first_attempt=12)
    assert [each.episode.attempt for each in group.episodes] == [12, 13, 14, 15]
    assert len(group.valid) == 4


async def test_a_faulted_attempt_is_replaced_under_a_number_and_a_trace_of_its_own() -> None:
    journal = MemoryJournal()
    group = await run(examiner_with(failing_for({1})), journal)
    assert [each.episode.attempt for each in group.episodes] == [0, 1, 5, 2, 3]
    assert [each.valid for each in group.episodes] == [True, False, True, True, True]
    assert len({each.episode.trace_id for each in group.episodes}) == 5
    assert len(journal.episodes["train", 2]) == 5


async def test_a_place_is_given_up_after_the_last_allowed_attempt() -> None:
    journal = MemoryJournal()
    group = await run(examiner_with(failing_for({1, 5, 9})), journal)
    assert [each.episode.attempt for each in group.episodes] == [0, 1, 5, 9, 2, 3]
    assert len(group.valid) == 3
    assert (journal.progress_entries[-1].done, journal.progress_entries[-1].expected) == (4, 4)


async def test_an_attempt_whose_grader_failed_is_made_again() -> None:
    def grade(episode: Episode) -> float | Fault:
        return broken_grader() if episode.attempt == 0 else 0.25

    group = await run(examiner_with(failing_for(set()), FunctionGrader(grade)), MemoryJournal())
    assert group.episodes[0].fault == broken_grader()
    assert [each.reward for each in group.valid] == [0.25] * 4


async def test_an_episode_with_a_fault_is_not_shown_to_the_grader() -> None:
    grader = FunctionGrader(lambda episode: 1.0)
    result = await graded(an_episode(fault=broken_tool("search")), grader, deadline_s=5.0)
    assert not result.valid
    assert result.fault == broken_tool("search")
    assert grader.graded == []


async def test_a_grader_that_never_answers_is_a_fault_of_the_grader() -> None:
    class SilentGrader:
        async def grade(self, episode: Episode) -> Grade | Fault:
            await asyncio.Event().wait()
            raise AssertionError

    result = await graded(an_episode(), SilentGrader(), deadline_s=0.02)
    assert result.fault is not None
    assert (result.fault.owner, result.fault.kind) == (FaultOwner.GRADER_ENDPOINT, FaultKind.DEADLINE)


async def test_every_attempt_begins_before_its_first_call_and_ends_after_its_grade() -> None:
    lifecycle = MemoryLifecycle()
    seen: list[tuple[str, int, int]] = []

    def search(call: ToolCall, context: CallContext) -> str | Fault:
        seen.append(("call", len(lifecycle.begun), len(lifecycle.ended)))
        return broken_tool("search") if context.attempt == 0 else "ok"

    def grade(episode: Episode) -> float:
        seen.append(("grade", len(lifecycle.begun), len(lifecycle.ended)))
        return 1.0

    examiner = examiner_with(InProcessTools({"search": search}), FunctionGrader(grade))
    group = await run(replace(examiner, lifecycle=lifecycle), MemoryJournal(), size=1)
    assert seen == [("call", 1, 0), ("call", 2, 1), ("grade", 2, 1)]
    assert [(context.attempt, stop) for context, stop in lifecycle.ended] == [
        (0, StopReason.FAULT),
        (1, StopReason.ANSWER),
    ]
    assert [context.trace_id for context in lifecycle.begun] == [each.episode.trace_id for each in group.episodes]


async def test_an_attempt_that_cannot_begin_makes_no_call_and_is_made_again_never_scored_zero() -> None:
    lifecycle = MemoryLifecycle(lambda context: broken_tool("lifecycle") if context.attempt == 0 else None)
    tools = failing_for(set())
    group = await run(replace(examiner_with(tools), lifecycle=lifecycle), MemoryJournal(), size=2)
    first = group.episodes[0]
    assert (first.grade, first.fault) == (None, broken_tool("lifecycle"))
    assert (first.episode.stop, first.episode.turns, len(first.episode.tokens)) == (StopReason.FAULT, (), 0)
    assert [each.reward for each in group.valid] == [1.0, 1.0]
    assert {context.attempt for _, context in tools.calls} == {1, 2}
    assert len(lifecycle.ended) == 3


@pytest.mark.parametrize("where", ["tool", "grader"])
async def test_the_end_is_told_when_an_attempt_is_cancelled(where: str) -> None:
    reached = asyncio.Event()

    async def search(call: ToolCall, context: CallContext) -> str:
        if where == "tool":
            reached.set()
            await asyncio.Event().wait()
        return "ok"

    class SilentGrader:
        async def grade(self, episode: Episode) -> Grade | Fault:
            reached.set()
            await asyncio.Event().wait()
            raise AssertionError

    lifecycle = MemoryLifecycle()
    examiner = replace(examiner_with(InProcessTools({"search": search})), lifecycle=lifecycle, grader=SilentGrader())
    task = asyncio.ensure_future(run(examiner, MemoryJournal()))
    await reached.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert [stop for _, stop in lifecycle.ended] == [None] * 4


async def test_the_attempts_of_a_group_share_its_name_and_two_groups_do_not() -> None:
    tools = failing_for({0})
    examiner = examiner_with(tools)
    await run(examiner, MemoryJournal())
    await run(examiner, MemoryJournal())
    names = [context.group for _, context in tools.calls]
    assert len(set(names[:5])) == len(set(names[5:])) == 1
    assert names[0] != names[5]


def fails_with(fault: Fault) -> InProcessTools:
    return InProcessTools({"search": lambda call, context: fault})


async def test_a_fault_of_the_platform_is_recorded_and_fails_the_job_with_a_reason() -> None:
    journal = MemoryJournal()
    fault = Fault(owner=FaultOwner.PLATFORM, kind=FaultKind.INTERNAL, where="sandbox", message="it did not start")
    with pytest.raises(JobFailed) as failure:
        await run(examiner_with(fails_with(fault)), journal, size=1)
    assert failure.value.code == "internal_error"
    assert failure.value.message.startswith("sandbox failed in attempt 0 at row 1 in step 2: it did not start. ")
    assert [graded.fault for graded in journal.episodes["train", 2]] == [fault]


async def test_a_grader_of_ours_that_breaks_fails_the_job_too() -> None:
    fault = Fault(owner=FaultOwner.PLATFORM, kind=FaultKind.OUT_OF_MEMORY, where="sandbox", message="no memory")
    with pytest.raises(JobFailed, match=r"Lower agentrft\.group_size") as failure:
        await run(examiner_with(failing_for(set()), FunctionGrader(lambda episode: fault)), MemoryJournal())
    assert failure.value.code == "out_of_memory"


async def test_an_attempt_that_took_its_whole_wall_clock_is_made_again_once() -> None:
    late = Fault(owner=FaultOwner.TOOL_ENDPOINT, kind=FaultKind.DEADLINE, where="search", message="late")
    group = await run(examiner_with(fails_with(late)), MemoryJournal(), size=1)
    assert [graded.fault for graded in group.episodes] == [late, late]


async def test_a_crash_says_in_which_attempt_it_happened() -> None:
    def crash(call: ToolCall, context: CallContext) -> str:
        raise ZeroDivisionError("a bug of ours")

    with pytest.raises(ZeroDivisionError) as crashed:
        await run(examiner_with(InProcessTools({"search": crash})), MemoryJournal(), size=1, first_attempt=5)
    assert crashed.value.__notes__ == ["attempt 5 at row 1 in step 2"]


class Ranking:
    """Grades by attempt number, or fails; keeps the groups it saw."""

    def __init__(self, fault: Fault | None = None) -> None:
        self._fault = fault
        self.groups: list[list[int]] = []

    async def rank(self, episodes: Sequence[Episode]) -> Sequence[Grade] | Fault:
        self.groups.append([episode.attempt for episode in episodes])
        return self._fault or [Grade(reward=float(episode.attempt)) for episode in episodes]


async def test_a_group_grader_is_asked_once_when_every_place_is_filled() -> None:
    journal, ranking = MemoryJournal(), Ranking()
    group = await run(examiner_with(failing_for({1}), ranking), journal)
    assert ranking.groups == [[0, 5, 2, 3]]
    assert [each.episode.attempt for each in group.episodes] == [0, 1, 5, 2, 3]
    assert [each.grade and each.grade.reward for each in group.episodes] == [0.0, None, 5.0, 2.0, 3.0]
    told = [each.episode.attempt for each in journal.episodes["train", 2]]
    assert told == [1, 0, 5, 2, 3]  # a fault is told at once, a grade with the ruling
    assert (journal.progress_entries[-1].done, journal.progress_entries[-1].expected) == (4, 4)


async def test_a_group_grader_that_fails_leaves_faults_and_no_zeros() -> None:
    group = await run(examiner_with(failing_for({1}), Ranking(broken_grader())), MemoryJournal())
    assert [each.fault for each in group.episodes] == [
        broken_grader(), broken_tool("search"), broken_grader(), broken_grader(), broken_grader(),
    ]  # fmt: skip
    assert group.valid == []


async def test_a_group_grader_that_never_answers_is_a_fault_of_the_grader() -> None:
    class Silent:
        async def rank(self, episodes: Sequence[Episode]) -> Sequence[Grade] | Fault:
            await asyncio.Event().wait()
            raise AssertionError

    played = [GradedEpisode(episode=an_episode(attempt=attempt), grade=None) for attempt in range(2)]
    results = await ranked(played, Silent(), deadline_s=0.02)
    assert [each.fault and each.fault.kind for each in results] == [FaultKind.DEADLINE] * 2


async def test_an_attempt_that_is_left_alone_shares_the_fault_of_its_peers() -> None:
    ranking = Ranking()
    group = await run(examiner_with(failing_for(set(range(1, 12)) - {4, 8}), ranking), MemoryJournal())
    assert ranking.groups == []
    alone = group.episodes[0].fault
    assert alone is not None
    assert (alone.owner, alone.where) == (FaultOwner.TOOL_ENDPOINT, "search")
    assert alone.message.startswith("no other attempt is left")


async def test_a_group_that_lost_every_attempt_is_not_shown_to_the_group_grader() -> None:
    ranking = Ranking()
    group = await run(examiner_with(failing_for(set(range(12))), ranking), MemoryJournal())
    assert (ranking.groups, group.valid, len(group.episodes)) == ([], [], 12)
