"""An evaluation tries every validation item as often as asked, and leaves out what failed for other reasons."""

from agentrft.domain.episode import Episode, ToolCall
from agentrft.domain.faults import Fault
from agentrft.domain.job import Limits, Sampling
from agentrft.engine.attempts import Examiner
from agentrft.engine.evaluate import evaluate, no_baseline_message
from agentrft.engine.metrics import episode_metrics
from agentrft.engine.rollout import Agent
from agentrft.ports import CallContext, Evaluation
from agentrft.testing import (
    FakeSampler,
    FunctionGrader,
    InProcessTools,
    MemoryJournal,
    WordChat,
    an_item,
    an_open_gate,
    broken_tool,
)


def search_but_not_for_item_one(call: ToolCall, context: CallContext) -> str | Fault:
    return broken_tool("search") if context.item.index == 1 else "ok"


async def run(journal: MemoryJournal) -> Evaluation:
    chat = WordChat()
    agent = Agent(
        sampler=FakeSampler(chat, [["search(a)"], ["3"]]),
        chat=chat,
        tools=InProcessTools({"search": search_but_not_for_item_one}),
        sampling=Sampling(temperature=0.7, max_turn_tokens=16, max_context_tokens=256),
        limits=Limits(wall_clock_s=20.0),
        seed=5,
    )

    def reward(episode: Episode) -> float:
        return float(episode.item.index)

    examiner = Examiner(agent=agent, grader=FunctionGrader(reward), gate=an_open_gate(), max_attempts=2)
    return await evaluate([an_item(n) for n in range(3)], examiner=examiner, samples=2, step=4, journal=journal)


async def test_faulted_attempts_are_made_again_and_then_left_out_of_the_mean() -> None:
    journal = MemoryJournal()
    evaluation = await run(journal)
    assert evaluation.step == 4
    assert [(each.episode.item.index, each.episode.attempt) for each in evaluation.episodes] == [
        (0, 0),
        (0, 1),
        (1, 0),
        (1, 2),
        (1, 1),
        (1, 3),
        (2, 0),
        (2, 1),
    ]
    assert [each.valid for each in evaluation.episodes] == [True, True, False, False, False, False, True, True]
    assert episode_metrics("valid", evaluation.episodes)["valid_reward_mean"] == 1.0


async def test_the_journal_hears_of_every_attempt_and_of_the_progress() -> None:
    journal = MemoryJournal()
    evaluation = await run(journal)
    assert {each.episode.trace_id for each in journal.episodes["valid", 4]} == {
        each.episode.trace_id for each in evaluation.episodes
    }
    last = journal.progress_entries[-1]
    assert (last.step, last.phase, last.done, last.expected) == (4, "eval", 6, 6)


async def test_a_baseline_of_faults_names_the_last_one_and_what_to_do() -> None:
    evaluation = await run(MemoryJournal())
    faulted = tuple(each for each in evaluation.episodes if not each.valid)
    message = no_baseline_message(Evaluation(step=0, episodes=faulted, seconds=1.0))
    assert message.startswith("All 4 episodes of the baseline evaluation met a fault")
    assert "the endpoint of search answered 500. Mend it" in message
