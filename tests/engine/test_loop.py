"""The whole loop, with a policy that learns."""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import replace

import pytest

from agentrft.datasets.order import ItemOrder
from agentrft.domain.episode import Episode, Item, Message, ToolCall
from agentrft.domain.errors import JobFailed
from agentrft.domain.faults import Fault
from agentrft.domain.job import Job, Limits, Optimizer, Penalty, Sampling, Supervised
from agentrft.engine.loop import reinforce
from agentrft.engine.supervised import supervise
from agentrft.engine.world import World
from agentrft.ports import CallContext
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

SECRETS = ("red", "green", "blue", "white")
ITEMS = [an_item(index, question="which colour ?", tools=("look",)) for index in range(12)]


def secret_of(item: Item) -> str:
    return SECRETS[item.index % 4]


def look(call: ToolCall, context: CallContext) -> str | Fault:
    return secret_of(context.item)


def is_right(episode: Episode) -> float:
    return float(episode.answer == secret_of(episode.item))


def a_world(*, tools: InProcessTools | None = None, grader: FunctionGrader | None = None) -> World:
    """A policy of five words: it can look up the colour, or guess. All questions read the same."""
    chat = WordChat()
    actions = [*chat.encode("look() red green blue white"), END]
    policy = ToyPolicy(actions)
    return World(
        sampler=policy,
        chat=chat,
        tools=tools or InProcessTools({"look": look}),
        grader=grader or FunctionGrader(is_right),
        trainer=policy,
    )


def policy_of(world: World) -> ToyPolicy:
    assert isinstance(world.trainer, ToyPolicy)
    return world.trainer


def a_colour_job(
    *, steps: int, eval_interval: int = 100, seed: int = 1, penalty: Penalty | None = None, max_turns: int = 3
) -> Job:
    return a_job(
        seed=seed,
        sampling=Sampling(max_turn_tokens=3, max_context_tokens=128),
        optimizer=Optimizer(learning_rate=30.0, warmup_steps=2, grad_clip=1.0),
        reinforcement=some_rules(
            batch_size=4,
            group_size=16,
            total_steps=steps,
            eval_interval=eval_interval,
            eval_samples=4,
            max_refills=1,
            limits=Limits(max_turns=max_turns, wall_clock_s=30.0),
            penalty=penalty,
        ),
    )


def a_demonstration(index: int, *, seen: Sequence[str], answer: str) -> Item:
    """The question, a look for each colour seen, and an answer."""
    question = an_item(index, question="which colour ?", tools=("look",))
    call = ToolCall(call_id="call_0", name="look", arguments="")
    looks = [
        message
        for colour in seen
        for message in (
            Message(role="assistant", tool_calls=(call,)),
            Message(role="tool", content=colour, call_id="call_0"),
        )
    ]
    return replace(question, messages=(*question.messages, *looks, Message(role="assistant", content=answer)))


def sloppy_demonstration(index: int) -> Item:
    """Knows how to call and how to answer, but looks only every other time, and answers anything."""
    dice = random.Random(index)
    return a_demonstration(index, seen=[dice.choice(SECRETS)] * (index % 2), answer=dice.choice(SECRETS))


def wordy_demonstration(index: int) -> Item:
    """Always right, but looks once to three times."""
    colour = SECRETS[index % 4]
    return a_demonstration(index, seen=[colour] * random.Random(index).randint(1, 3), answer=colour)


async def warm_up(world: World, demonstrations: Sequence[Item] | None = None, *, learning_rate: float = 3.0) -> None:
    """The cold start that practitioners give a model which has never seen its tools."""
    demonstrations = demonstrations or [sloppy_demonstration(index) for index in range(64)]
    job = a_job(
        optimizer=Optimizer(learning_rate=learning_rate, warmup_steps=0),
        supervised=Supervised(batch_size=16, n_epochs=1, total_steps=10),
    )
    await supervise(
        job,
        world.trainer,
        world.chat,
        demonstrations=demonstrations,
        order=ItemOrder(demonstrations, seed=job.seed),
        journal=MemoryJournal(),
    )


async def run(job: Job, world: World, *, validation: Sequence[Item] = ITEMS) -> MemoryJournal:
    journal = MemoryJournal()
    await reinforce(job, world, order=ItemOrder(ITEMS, seed=job.seed), validation=validation, journal=journal)
    return journal


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_the_policy_learns_to_call_its_tool(seed: int) -> None:
    world = a_world()
    await warm_up(world)
    journal = await run(a_colour_job(steps=30, seed=seed), world)
    before, after = journal.steps[0], journal.steps[30]
    assert before["valid_reward_mean"] < 0.3
    assert after["valid_reward_mean"] > 0.8
    assert after["valid_tool_calls_mean_look"] > 0.8


async def test_it_learns_as_well_from_a_tool_that_often_breaks_down() -> None:
    breakdown = random.Random(3)

    def flaky_look(call: ToolCall, context: CallContext) -> str | Fault:
        return broken_tool("look") if breakdown.random() < 0.3 else look(call, context)

    world = a_world(tools=InProcessTools({"look": flaky_look}))
    await warm_up(world)
    journal = await run(a_colour_job(steps=30), world)
    assert journal.steps[30]["valid_reward_mean"] > 0.8
    assert journal.steps[30]["train_faults_tool_endpoint"] > 0


async def test_two_runs_with_one_seed_are_the_same() -> None:
    first, second = [await run(a_colour_job(steps=3), a_world()) for _ in range(2)]
    clocks = ("_s", "_s_mean", "_s_mean_look")
    for step, metrics in first.steps.items():
        same = {name: value for name, value in metrics.items() if not name.endswith(clocks)}
        assert same == {name: second.steps[step][name] for name in same}


async def test_evaluation_and_checkpoints_come_at_every_interval_and_at_the_end() -> None:
    journal = await run(a_colour_job(steps=5, eval_interval=2), a_world())
    assert list(journal.steps) == [0, 1, 2, 3, 4, 5]
    assert [step for step in journal.steps if "valid_reward_mean" in journal.steps[step]] == [0, 2, 4, 5]
    assert [checkpoint.step for checkpoint in journal.checkpoints] == [2, 4, 5]
    assert journal.checkpoints[0].metrics == journal.steps[2]


async def test_without_validation_items_there_is_no_evaluation_but_there_are_checkpoints() -> None:
    journal = await run(a_colour_job(steps=2, eval_interval=1), a_world(), validation=[])
    assert list(journal.steps) == [1, 2]
    assert len(journal.checkpoints) == 2
    assert journal.steps[2]["baseline_tokens_per_episode"] == journal.steps[1]["baseline_tokens_per_episode"] > 1


async def test_every_episode_is_sampled_from_the_weights_published_last() -> None:
    journal = await run(a_colour_job(steps=3), a_world())
    for step in (1, 2, 3):
        versions = {
            version
            for graded in journal.episodes["train", step]
            for version in graded.episode.tokens.versions
            if version >= 0
        }
        assert versions == {step}
    assert {version for graded in journal.episodes["valid", 3] for version in graded.episode.tokens.versions} == {-1, 4}


async def test_the_loss_is_divided_by_the_rollouts_that_count_times_the_length_at_the_baseline() -> None:
    world = a_world()
    journal = await run(a_colour_job(steps=2), world)
    baseline = [graded.episode.sampled_tokens for graded in journal.episodes["valid", 0]]
    for step, (data, settings) in enumerate(policy_of(world).updates, start=1):
        useful = journal.steps[step]["useful_groups_share"] * journal.steps[step]["groups_total"]
        assert settings.normaliser == pytest.approx(useful * 16 * sum(baseline) / len(baseline))
        assert settings.learning_rate == journal.steps[step]["learning_rate"] == 15.0 * step
        assert 0 < len(data) <= useful * 16


async def test_a_step_without_a_useful_group_changes_nothing_and_says_so() -> None:
    world = a_world(grader=FunctionGrader(lambda episode: 0.0))
    journal = await run(a_colour_job(steps=2), world)
    assert policy_of(world).updates == []
    assert len(journal.warnings) == 2
    assert "Step 1 made no update: of 8 groups, 8 had attempts that all did equally well" in journal.warnings[0]
    assert journal.steps[1]["zero_variance_all_fail_share"] == 1.0
    assert "train/loss" not in journal.steps[1]
    assert [checkpoint.step for checkpoint in journal.checkpoints] == [2]


async def test_a_baseline_of_faults_alone_fails_the_job_with_their_cause() -> None:
    world = a_world(grader=FunctionGrader(lambda episode: broken_grader()))
    with pytest.raises(JobFailed, match=r"All 144 episodes .* the grader's reply holds no score") as failure:
        await run(a_colour_job(steps=2), world)
    assert failure.value.code == "baseline_failed"


async def test_a_resumed_job_goes_on_with_the_step_after_its_checkpoint() -> None:
    job = a_colour_job(steps=4, eval_interval=2)
    whole = await run(job, a_world())
    journal, world = MemoryJournal(), a_world()
    last = await reinforce(
        job,
        world,
        order=ItemOrder(ITEMS, seed=job.seed),
        validation=ITEMS,
        journal=journal,
        resume=whole.checkpoints[0],
    )
    assert list(journal.steps) == [3, 4]
    assert last.step == 4
    frozen = "baseline_tokens_per_episode"
    assert journal.steps[3][frozen] == whole.steps[2][frozen]


async def test_progress_is_told_phase_by_phase() -> None:
    journal = await run(a_colour_job(steps=1), a_world())
    phases = list(dict.fromkeys((entry.step, entry.phase) for entry in journal.progress_entries))
    assert phases == [(0, "eval"), (1, "sampling"), (1, "training"), (1, "eval")]
    last = {entry.phase: entry for entry in journal.progress_entries}
    assert all(entry.done == entry.expected > 0 for entry in last.values())


async def test_cancelling_a_job_in_the_middle_of_a_step_leaves_nothing_running() -> None:
    waiting = asyncio.Event()

    async def wait_for_ever(call: ToolCall, context: CallContext) -> str:
        waiting.set()
        await asyncio.Event().wait()
        return "never"

    world = a_world(tools=InProcessTools({"look": wait_for_ever}))
    before = asyncio.all_tasks()
    job = asyncio.ensure_future(run(a_colour_job(steps=2), world))
    await waiting.wait()
    job.cancel()
    with pytest.raises(asyncio.CancelledError):
        await job
    assert asyncio.all_tasks() == before
    assert policy_of(world).open_sessions == set()


async def test_a_crash_of_an_adapter_ends_the_job_as_it_is() -> None:
    def crash(call: ToolCall, context: CallContext) -> str:
        raise ZeroDivisionError("a bug of ours")

    with pytest.raises(ZeroDivisionError, match="a bug of ours"):
        await run(a_colour_job(steps=2), a_world(tools=InProcessTools({"look": crash})))


async def test_a_supervised_job_is_refused() -> None:
    job = a_job(supervised=Supervised(batch_size=1, n_epochs=1, total_steps=1))
    with pytest.raises(ValueError, match="no reinforcement job"):
        await run(job, a_world())


@pytest.mark.parametrize(("weight", "least", "most"), [(0.0, 1.6, 2.6), (0.3, 1.0, 1.4)])
async def test_where_all_succeed_the_light_penalty_alone_removes_needless_calls(
    weight: float, least: float, most: float
) -> None:
    world = a_world(grader=FunctionGrader(lambda episode: float(episode.tool_calls > 0)))
    await warm_up(world, [wordy_demonstration(index) for index in range(64)], learning_rate=20.0)
    journal = await run(a_colour_job(steps=20, penalty=Penalty(weight=weight), max_turns=8), world)
    assert least <= journal.steps[20]["valid_tool_calls_mean"] <= most
    assert journal.steps[20]["valid_reward_mean"] > 0.95
