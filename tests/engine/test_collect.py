"""A step explores until it has enough groups to learn from, or has drawn often enough."""

import asyncio
from collections.abc import Callable
from itertools import count, islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentrft.datasets.order import ItemOrder
from agentrft.domain.episode import Episode, Group, Item, ToolCall
from agentrft.domain.faults import Fault
from agentrft.domain.job import FaultLimits, Limits, Penalty, Reinforcement, Sampling
from agentrft.engine.attempts import Examiner
from agentrft.engine.collect import (
    Batch,
    collect,
    is_useful,
    no_update_warning,
    truncated_share,
    truncation_warning,
)
from agentrft.engine.credit import data
from agentrft.engine.metrics import batch_metrics
from agentrft.engine.order import Order
from agentrft.engine.rollout import Agent
from agentrft.engine.seeds import derive_seed
from agentrft.ports import CallContext
from agentrft.testing import (
    FakeSampler,
    FunctionGrader,
    InProcessTools,
    MemoryJournal,
    WordChat,
    an_item,
    an_open_gate,
    broken_tool,
    some_rules,
)

Search = Callable[[ToolCall, CallContext], str | Fault]


class InTurn:
    """Item 0, item 1, ... and no end, unless one is given."""

    def __init__(self, end: int | None = None) -> None:
        self._left = count() if end is None else iter(range(end))

    def next(self, n: int) -> list[Item]:
        return [an_item(index) for index in islice(self._left, n)]


def examiner_with(
    reward: Callable[[Episode], float], *, search: Search = lambda call, context: "ok", max_attempts: int = 3
) -> Examiner:
    chat = WordChat()
    agent = Agent(
        sampler=FakeSampler(chat, [["search(a)", "search(a) search(b)"], ["1", "2", "3"]]),
        chat=chat,
        tools=InProcessTools({"search": search}),
        sampling=Sampling(max_turn_tokens=16, max_context_tokens=256),
        limits=Limits(wall_clock_s=20.0),
        seed=5,
    )
    return Examiner(agent=agent, grader=FunctionGrader(reward), gate=an_open_gate(), max_attempts=max_attempts)


async def gather(
    examiner: Examiner,
    rules: Reinforcement,
    *,
    order: Order[Item] | None = None,
    journal: MemoryJournal | None = None,
) -> Batch:
    return await collect(order or InTurn(), examiner=examiner, rules=rules, step=1, journal=journal or MemoryJournal())


def alternating(episode: Episode) -> float:
    return float(episode.attempt % 2)


def indexes(batch: Batch) -> list[int]:
    return [group.item.index for group in batch.groups]


async def test_a_batch_of_mixed_groups_needs_no_refill() -> None:
    batch = await gather(examiner_with(alternating), some_rules(batch_size=3, max_refills=2))
    assert indexes(batch) == [0, 1, 2]
    assert batch.useful == batch.groups
    assert batch.useful_rollouts == 12


async def test_only_as_many_items_are_drawn_as_groups_are_missing() -> None:
    def only_even_items_differ(episode: Episode) -> float:
        return alternating(episode) if episode.item.index % 2 == 0 else 1.0

    batch = await gather(examiner_with(only_even_items_differ), some_rules(batch_size=4, max_refills=5))
    assert indexes(batch) == [0, 1, 2, 3, 4, 5, 6]
    assert [group.item.index for group in batch.useful] == [0, 2, 4, 6]


async def test_refills_are_bounded_and_the_journal_hears_of_every_episode() -> None:
    journal = MemoryJournal()
    rules = some_rules(batch_size=2, group_size=3, max_refills=2)
    batch = await gather(examiner_with(lambda episode: 0.0), rules, journal=journal)
    assert len(batch.groups) == 6
    assert batch.useful == ()
    assert len(journal.episodes["train", 1]) == 18
    assert [entry.expected for entry in journal.progress_entries if entry.done == 0] == [6]
    assert (journal.progress_entries[-1].done, journal.progress_entries[-1].expected) == (18, 18)


async def test_an_order_that_ends_ends_the_draws() -> None:
    batch = await gather(examiner_with(lambda episode: 0.0), some_rules(max_refills=9), order=InTurn(end=3))
    assert indexes(batch) == [0, 1, 2]


async def test_an_item_drawn_twice_in_a_step_is_explored_with_other_draws() -> None:
    order = ItemOrder([an_item(0)], seed=1)
    batch = await gather(examiner_with(alternating), some_rules(batch_size=3, group_size=2), order=order)
    attempts = [graded.episode.attempt for graded in batch.episodes]
    assert attempts == [0, 1, 6, 7, 12, 13]


async def test_a_group_with_too_few_valid_attempts_is_skipped() -> None:
    def fail_often(call: ToolCall, context: CallContext) -> str | Fault:
        return "ok" if context.attempt in (0, 1) else broken_tool("search")

    rules = some_rules(batch_size=1, group_size=4, min_group=3)
    batch = await gather(examiner_with(alternating, search=fail_often), rules)
    assert len(batch.groups[0].valid) == 2
    assert batch.useful == ()
    warning = no_update_warning(batch, rules, 1)
    assert "1 had fewer than 3 attempts without a fault" in warning
    assert "the endpoint of search answered 500" in warning


async def test_an_all_passed_group_is_useful_when_its_attempts_differ_in_cost() -> None:
    rules = some_rules(batch_size=1, group_size=8, penalty=Penalty(weight=0.05))
    batch = await gather(examiner_with(lambda episode: 1.0), rules)
    assert len({graded.episode.tool_calls for graded in batch.episodes}) == 2
    assert batch.useful == batch.groups


async def test_the_tool_calls_of_all_episodes_of_a_step_overlap() -> None:
    rules = some_rules(batch_size=3, group_size=4)
    barrier = asyncio.Barrier(3 * 4)
    chat = WordChat()

    async def meet_everybody(call: ToolCall, context: CallContext) -> str:
        await barrier.wait()
        return "met"

    agent = Agent(
        sampler=FakeSampler(chat, [["search(a)"], ["3"]]),
        chat=chat,
        tools=InProcessTools({"search": meet_everybody}),
        sampling=Sampling(max_turn_tokens=16, max_context_tokens=256),
        limits=Limits(wall_clock_s=20.0),
        seed=5,
    )
    examiner = Examiner(agent=agent, grader=FunctionGrader(alternating), gate=an_open_gate(), max_attempts=1)
    batch = await gather(examiner, rules)
    assert all(graded.valid for graded in batch.episodes)


@settings(max_examples=25, deadline=None)
@given(fault_seed=st.integers(0, 10_000), percent=st.integers(0, 60), weight=st.sampled_from([0.0, 0.05, 0.5]))
def test_faulted_attempts_change_nothing_for_the_others(fault_seed: int, percent: int, weight: float) -> None:
    def flaky(call: ToolCall, context: CallContext) -> str | Fault:
        unlucky = derive_seed(fault_seed, context.item.index, context.attempt) % 100 < percent
        return broken_tool("search") if unlucky else "ok"

    def reward(episode: Episode) -> float:
        return float(derive_seed(episode.item.index, episode.attempt) % 3) / 2

    rules = some_rules(batch_size=3, group_size=4, penalty=Penalty(weight=weight))
    batch = asyncio.run(gather(examiner_with(reward, search=flaky), rules))
    spared = tuple(Group(item=group.item, episodes=tuple(group.valid)) for group in batch.groups)
    useful = tuple(group for group in spared if is_useful(group, rules))
    assert data(batch.useful, rules.penalty) == data(useful, rules.penalty)
    assert batch_metrics(batch, rules.penalty) == batch_metrics(Batch(groups=spared, useful=useful), rules.penalty)
    assert batch.useful_rollouts == sum(len(group.episodes) for group in useful)
    assert all(graded.grade is None for graded in batch.episodes if graded.fault is not None)


@pytest.mark.parametrize(("limit", "masked"), [(0.25, True), (0.9, False)])
async def test_where_many_attempts_ran_out_of_tokens_nothing_is_learned_from_these(limit: float, masked: bool) -> None:
    """Some say too much for one turn: they count in the means all the same."""
    chat = WordChat()
    agent = Agent(
        sampler=FakeSampler(chat, lambda request: ["1 2 3 4 5" if request.seed % 2 else "1"]),
        chat=chat,
        tools=InProcessTools({}),
        sampling=Sampling(max_turn_tokens=3, max_context_tokens=256),
        limits=Limits(wall_clock_s=20.0),
        seed=5,
    )
    grader = FunctionGrader(lambda episode: float(not episode.stop.truncated))
    examiner = Examiner(agent=agent, grader=grader, gate=an_open_gate(), max_attempts=1)
    rules = some_rules(batch_size=4, group_size=4, faults=FaultLimits(truncated_limit=limit))
    batch = await gather(examiner, rules)
    assert 0.25 < truncated_share(batch.groups) < 0.9
    assert batch.mask_truncated is masked
    learned = data(batch.useful, rules.penalty, mask_truncated=batch.mask_truncated)
    assert all(datum.advantage > 0 for datum in learned) is masked
    numbers = batch_metrics(batch, rules.penalty)
    assert numbers["masked_share"] == (numbers["truncated_share"] if masked else 0.0)
    warning = truncation_warning(batch, rules, 1)
    assert "ran out of tokens" in warning
    assert "max_turn_tokens" in warning
