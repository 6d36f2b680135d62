"""Learning from demonstrations: every assistant turn weighs the same."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from agentrft.datasets.order import ItemOrder
from agentrft.domain.episode import Item, Message, ToolCall
from agentrft.domain.errors import JobFailed
from agentrft.domain.job import Job, Optimizer, Sampling, Supervised
from agentrft.engine.supervised import lesson, supervise
from agentrft.testing import MemoryJournal, ToyPolicy, WordChat, a_job, an_item
from agentrft.testing.chat import ASSISTANT, END


def a_demonstration(index: int = 0, answer: str = "it is 3") -> Item:
    call = ToolCall(call_id="call_0", name="search", arguments="a")
    return replace(
        an_item(index),
        messages=(
            Message(role="user", content="how many ?"),
            Message(role="assistant", tool_calls=(call,)),
            Message(role="tool", content="found 3", call_id="call_0"),
            Message(role="assistant", content=answer),
        ),
    )


def a_supervised_job(*, batch_size: int = 2, n_epochs: int = 2, total_steps: int = 4, context: int = 64) -> Job:
    return a_job(
        sampling=Sampling(max_context_tokens=context),
        optimizer=Optimizer(learning_rate=0.5, warmup_steps=2),
        supervised=Supervised(batch_size=batch_size, n_epochs=n_epochs, total_steps=total_steps),
    )


async def run(
    job: Job, demonstrations: Sequence[Item], *, chat: WordChat | None = None, trainer: ToyPolicy | None = None
) -> MemoryJournal:
    chat = chat or WordChat()
    journal = MemoryJournal()
    await supervise(
        job,
        trainer or ToyPolicy([*chat.encode("search(a) it is 3"), END]),
        chat,
        demonstrations=demonstrations,
        order=ItemOrder(demonstrations, seed=job.seed),
        journal=journal,
    )
    return journal


def test_every_assistant_turn_has_a_weight_of_one_in_all() -> None:
    chat = WordChat()
    learned = lesson(a_demonstration(), chat, max_context_tokens=64)
    weights = dict(zip(chat.decode(learned.datum.ids).split(), learned.datum.weights, strict=True))
    assert learned.turns == 2
    assert sum(learned.datum.weights) == pytest.approx(2.0)
    assert weights["search(a)"] == pytest.approx(1 / 2)
    assert weights["it"] == pytest.approx(1 / 4)
    assert weights["found"] == weights["how"] == weights["|assistant|"] == 0.0
    assert learned.datum.old_logps == ()


def test_a_row_that_is_too_long_is_refused_by_its_number() -> None:
    with pytest.raises(JobFailed, match=r"Example 7 is 19 tokens long, but at most 15 fit") as failure:
        lesson(a_demonstration(6), WordChat(), max_context_tokens=15)
    assert (failure.value.code, failure.value.param) == ("invalid_training_file", "training_file")


def test_a_row_without_an_assistant_message_is_refused() -> None:
    with pytest.raises(JobFailed, match="Example 3 has no assistant message"):
        lesson(an_item(2), WordChat(), max_context_tokens=64)


async def test_one_bad_row_is_found_before_anything_is_learned() -> None:
    chat = WordChat()
    trainer = ToyPolicy([END])
    rows = [*[a_demonstration(index) for index in range(5)], a_demonstration(5, answer="so " * 60)]
    with pytest.raises(JobFailed, match="Example 6"):
        await run(a_supervised_job(), rows, chat=chat, trainer=trainer)
    assert trainer.updates == []


async def test_the_normaliser_counts_turns_and_the_rate_follows_its_schedule() -> None:
    chat = WordChat()
    trainer = ToyPolicy([*chat.encode("search(a) it is 3"), END])
    journal = await run(a_supervised_job(), [a_demonstration(n) for n in range(4)], chat=chat, trainer=trainer)
    assert [settings.normaliser for _, settings in trainer.updates] == [4.0] * 4
    assert [settings.learning_rate for _, settings in trainer.updates] == [0.25, 0.5, 0.5, 0.5]
    assert all(settings.loss is None for _, settings in trainer.updates)
    assert [journal.steps[step]["learning_rate"] for step in (1, 2)] == [0.25, 0.5]


async def test_the_loss_falls_and_the_policy_repeats_what_it_was_shown() -> None:
    chat = WordChat()
    trainer = ToyPolicy([*chat.encode("search(a) it is 3"), END])
    job = a_supervised_job(batch_size=4, n_epochs=40, total_steps=40)
    job = replace(job, optimizer=Optimizer(learning_rate=5.0, warmup_steps=0))
    journal = await run(job, [a_demonstration(n) for n in range(4)], chat=chat, trainer=trainer)
    assert journal.steps[40]["train_loss"] < 0.2 * journal.steps[1]["train_loss"]
    await trainer.load(await trainer.publish())
    (call,) = chat.encode("search(a)")
    assert trainer.probability(call, [*chat.encode("?"), END, ASSISTANT]) > 0.9


async def test_there_is_a_checkpoint_at_the_end_of_every_epoch() -> None:
    journal = await run(a_supervised_job(n_epochs=3, total_steps=7), [a_demonstration(n) for n in range(4)])
    assert [checkpoint.step for checkpoint in journal.checkpoints] == [3, 5, 7]


async def test_a_resumed_job_goes_on_after_its_checkpoint() -> None:
    chat = WordChat()
    rows = [a_demonstration(n) for n in range(4)]
    first = await run(a_supervised_job(), rows)
    journal = MemoryJournal()
    last = await supervise(
        a_supervised_job(),
        ToyPolicy([*chat.encode("search(a) it is 3"), END]),
        chat,
        demonstrations=rows,
        order=ItemOrder(rows, seed=1),
        journal=journal,
        resume=first.checkpoints[0],
    )
    assert list(journal.steps) == [3, 4]
    assert last.step == 4
