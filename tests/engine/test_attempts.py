"""A fault never becomes a reward: the attempt is kept for the record and made again."""

import asyncio
from collections.abc import Sequence

from agentrft.domain.episode import Episode, Grade, GradedEpisode, Group, ToolCall
from agentrft.domain.faults import Fault, FaultKind, FaultOwner
from agentrft.domain.job import Limits, Sampling
from agentrft.engine.attempts import Examiner, Progress, graded, ranked
from agentrft.engine.rollout import Agent
from agentrft.ports import CallContext, Grader, GroupGrader
from agentrft.testing import (
    FakeSampler,
    FunctionGrader,
    InProcessTools,
    MemoryJournal,
    WordChat,
    an_episode,
    an_item,
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
    return Examiner(agent=agent, grader=grader or FunctionGrader(lambda episode: 1.0), max_attempts=3)


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
    assert journal.episodes["train", 2] == list(group.episodes)
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
