"""What fails beside the policy leaves no trace in what is learned: the whole loop, with a policy that learns."""

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentrft.datasets.order import ItemOrder
from agentrft.domain.episode import Completion, Episode, Item, ToolCall, ToolResult
from agentrft.domain.faults import Fault
from agentrft.domain.job import Job, Limits, Optimizer, Penalty, Sampling
from agentrft.engine.loop import reinforce
from agentrft.engine.seeds import derive_seed
from agentrft.engine.world import World
from agentrft.ports import CallContext, SampleRequest
from agentrft.testing import (
    FunctionGrader,
    InProcessTools,
    MemoryJournal,
    ToyPolicy,
    WordChat,
    a_job,
    an_item,
    broken_grader,
    broken_tool,
    some_rules,
)
from agentrft.testing.chat import END
from tests.engine.test_loop import warm_up

GROUP, SAMPLES, ATTEMPTS, TURNS = 4, 2, 3, 3
ITEMS = [an_item(index, question="which colour ?", tools=("look",)) for index in range(6)]
HELD_OUT = [an_item(100 + index, question="which colour ?", tools=("look",)) for index in range(3)]
Seeds = Mapping[int, int]


class Redrawn(ToyPolicy):
    """Draws with other seeds than it is asked to."""

    def __init__(self, actions: Sequence[int], seeds: Seeds) -> None:
        super().__init__(actions)
        self._seeds = seeds
        self.sessions: list[str] = []

    async def sample(self, request: SampleRequest) -> Completion:
        self.sessions.append(request.session)
        return await super().sample(replace(request, seed=self._seeds.get(request.seed, request.seed)))


def first_and_place(item: Item, attempt: int) -> tuple[int, int]:
    """Where the numbers of a group begin, and which of its places an attempt is for."""
    size = GROUP if item.index < 100 else SAMPLES
    first = attempt - attempt % (size * ATTEMPTS)
    return first, (attempt - first) % size


def is_last_try(item: Item, attempt: int) -> bool:
    size = GROUP if item.index < 100 else SAMPLES
    return attempt % (size * ATTEMPTS) >= size * (ATTEMPTS - 1)


class Misfortune:
    """Decides by its seed alone which calls and gradings fail; never those of the last try at a place."""

    def __init__(self, seed: int, *, tool_percent: int, grader_percent: int) -> None:
        self._seed = seed
        self._tool, self._grader = tool_percent, grader_percent

    def look(self, call: ToolCall, context: CallContext) -> str | Fault:
        where = (self._seed, context.step, context.item.index, context.attempt, context.turn)
        unlucky = derive_seed(*where) % 100 < self._tool and not is_last_try(context.item, context.attempt)
        return broken_tool("look") if unlucky else "red"

    def grade(self, episode: Episode) -> float | Fault:
        unlucky = derive_seed(self._seed, episode.item.index, episode.attempt, 7) % 100 < self._grader
        if unlucky and not is_last_try(episode.item, episode.attempt):
            return broken_grader()
        return (episode.answer == "red") + 0.25 * len(episode.answer.split())


def a_colour_job(**rules: object) -> Job:
    settled = some_rules(
        batch_size=2, group_size=GROUP, total_steps=2, eval_interval=2, eval_samples=SAMPLES, max_refills=1,
        limits=Limits(max_turns=TURNS, wall_clock_s=30.0), penalty=Penalty(weight=0.05), max_attempts=ATTEMPTS,
    )  # fmt: skip
    return a_job(
        sampling=Sampling(max_turn_tokens=3, max_context_tokens=128),
        optimizer=Optimizer(learning_rate=30.0, warmup_steps=0),
        reinforcement=replace(settled, **rules),  # type: ignore[arg-type]
    )


async def learn(luck: Misfortune, seeds: Seeds) -> tuple[MemoryJournal, Redrawn]:
    chat, journal, job = WordChat(), MemoryJournal(), a_colour_job()
    policy = Redrawn([*chat.encode("look() red green"), END], seeds)
    world = World(
        sampler=policy, chat=chat, trainer=policy,
        tools=InProcessTools({"look": luck.look}), grader=FunctionGrader(luck.grade),
    )  # fmt: skip
    await reinforce(job, world, order=ItemOrder(ITEMS, seed=1), validation=HELD_OUT, journal=journal)
    return journal, policy


def seeds_of_survivors(journal: MemoryJournal) -> Seeds:
    """For a run in which nothing fails: the seeds of the attempts that counted in this one, place by place."""
    seeds = {}
    for (_, step), episodes in journal.episodes.items():
        for graded, turn in product(episodes, range(TURNS)):
            episode = graded.episode
            if graded.valid:
                number = sum(first_and_place(episode.item, episode.attempt))
                asked = derive_seed(1, step, episode.item.index, number, turn)
                seeds[asked] = derive_seed(1, step, episode.item.index, episode.attempt, turn)
    return seeds


def comparable(metrics: Mapping[str, float]) -> Mapping[str, float]:
    """Without clocks, and without what counts the lost attempts themselves."""
    lost = r"_s(_|$)|(train|valid)_(rollouts|faults|error_count|replies_of|grading_fault|sampled_tokens$|tokens$)"
    return {name: value for name, value in metrics.items() if not re.search(lost, name)}


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), tool_percent=st.integers(0, 60), grader_percent=st.integers(0, 40))
def test_a_run_with_faults_learns_and_reports_what_one_without_the_faulty_attempts_does(
    seed: int, tool_percent: int, grader_percent: int
) -> None:
    luck = Misfortune(seed, tool_percent=tool_percent, grader_percent=grader_percent)
    journal, policy = asyncio.run(learn(luck, {}))
    spared = Misfortune(seed, tool_percent=0, grader_percent=0)
    clean, clean_policy = asyncio.run(learn(spared, seeds_of_survivors(journal)))
    assert all(graded.valid for episodes in clean.episodes.values() for graded in episodes)
    assert policy.updates == clean_policy.updates  # ids, log-probabilities, advantages, normaliser
    assert [comparable(metrics) for metrics in journal.steps.values()] == [
        comparable(metrics) for metrics in clean.steps.values()
    ]
    assert "train_reward_mean" in comparable(journal.steps[2])


async def test_a_new_attempt_takes_nothing_over_from_the_one_it_replaces() -> None:
    journal, policy = await learn(Misfortune(3, tool_percent=60, grader_percent=30), {})
    episodes = [graded.episode for played in journal.episodes.values() for graded in played]
    assert sum(graded.fault is not None for played in journal.episodes.values() for graded in played) > 10
    assert len({episode.trace_id for episode in episodes}) == len(episodes)
    assert {episode.trace_id for episode in episodes} == set(policy.sessions)  # one session each
    assert policy.open_sessions == set()
    for (split, step), played in journal.episodes.items():
        numbers = [(graded.episode.item.index, graded.episode.attempt) for graded in played]
        assert len(set(numbers)) == len(numbers), (split, step)
    for episode in episodes:
        assert episode.tokens.turns[0] == 0
        assert episode.sampled_tokens == episode.tokens.sampled_count


async def chance_of_looking(*, percent: int, zeroed: bool = False) -> float:
    """Of the first word, after 15 steps in which looking paid 1, not looking 0.8, and so many calls in 100 failed."""
    chat = WordChat()
    actions = [*chat.encode("look() red green blue white"), END]
    policy = ToyPolicy(actions)

    def look(call: ToolCall, context: CallContext) -> str | Fault | ToolResult:
        if derive_seed(11, context.step, context.item.index, context.attempt, context.turn) % 100 >= percent:
            return "red"
        shown = ToolResult(call_id=call.call_id, name=call.name, output="error", status=500, is_error=True)
        return shown if zeroed else broken_tool("look")

    def grade(episode: Episode) -> float:
        results = [result for turn in episode.turns for result in turn.results]
        return 0.0 if any(result.is_error for result in results) else 1.0 if results else 0.8

    tools, grader = InProcessTools({"look": look}), FunctionGrader(grade)
    world = World(sampler=policy, chat=chat, trainer=policy, tools=tools, grader=grader)
    await warm_up(world)
    job = a_colour_job(total_steps=15, eval_interval=15, group_size=16, penalty=Penalty(weight=0.0))
    await reinforce(job, world, order=ItemOrder(ITEMS, seed=1), validation=[], journal=MemoryJournal())
    prompt = [token for span in chat.open(ITEMS[0].messages, ITEMS[0].tools) for token in span.ids]
    return policy.probability(actions[0], prompt)


async def test_a_tool_that_often_fails_is_called_as_much_as_one_that_never_does() -> None:
    clean = await chance_of_looking(percent=0)
    faulty = await chance_of_looking(percent=30)
    zeroed = await chance_of_looking(percent=30, zeroed=True)
    assert clean > 0.9
    assert faulty == pytest.approx(clean, abs=0.05)
    print(clean, faulty, zeroed)
    assert zeroed < 0.3  # what scoring faults zero would have taught
