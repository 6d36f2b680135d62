"""Supervised fine-tuning on demonstrations: the cold start of an agent that RL then sharpens.

Every assistant turn weighs the same, however long it is: with a mean over tokens the JSON of the calls drowns the short
final answers, and the answers are what goes wrong.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from agentrft.domain.episode import Message, Span, TokenKind, ToolSpec
from agentrft.domain.errors import JobFailed
from agentrft.domain.job import Job, Supervised
from agentrft.domain.training import Checkpoint, Datum, Timing, UpdateSettings
from agentrft.engine.metrics import timing_metrics, update_metrics
from agentrft.engine.order import Order
from agentrft.engine.schedule import learning_rate
from agentrft.ports import ChatFormat, Journal, Trainer


class Demonstration(Protocol):
    """A whole conversation, the assistant's messages included. An `Item` is one, where its messages go that far."""

    @property
    def index(self) -> int: ...

    @property
    def messages(self) -> Sequence[Message]: ...

    @property
    def tools(self) -> Sequence[ToolSpec]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """A demonstration, encoded; `turns` counts the assistant's."""

    datum: Datum
    turns: int


async def supervise(
    job: Job,
    trainer: Trainer,
    chat: ChatFormat,
    *,
    demonstrations: Sequence[Demonstration],
    order: Order[Demonstration],
    journal: Journal,
    resume: Checkpoint | None = None,
) -> Checkpoint:
    """Run a supervised job to its end.

    Args:
        job: with `supervised` settled.
        demonstrations: told apart by `index`.
        order: the same demonstrations, in the order of learning, without end.
        resume: the checkpoint of this job to go on from; the trainer holds its weights.

    Returns:
        The checkpoint of the last step. There is one at the end of every epoch.

    Raises:
        JobFailed: when an example does not fit into the context or has no assistant message. Nothing is learned then.
    """
    if job.supervised is None:
        raise ValueError(f"job {job.id} is no supervised job")
    limit = job.sampling.max_context_tokens
    lessons = await asyncio.to_thread(_lessons, demonstrations, chat, limit)
    run = _Run(job, job.supervised, trainer, journal)
    checkpoint = resume
    for step in range(resume.step + 1 if resume else 1, job.supervised.total_steps + 1):
        batch = [lessons[shown.index] for shown in order.next(job.supervised.batch_size)]
        checkpoint = await run.step(step, batch) or checkpoint
    if checkpoint is None:
        raise ValueError("a job needs at least one step")
    return checkpoint


def lesson(shown: Demonstration, chat: ChatFormat, *, max_context_tokens: int) -> Lesson:
    """Encode one demonstration; each token of an assistant turn weighs 1 / length of that turn.

    Raises:
        JobFailed: naming the example, counted from 1 as OpenAI does.
    """
    spans = chat.demonstration(shown.messages, shown.tools)
    ids = tuple(token for span in spans for token in span.ids)
    turns = sum(_is_turn(span) for span in spans)
    name = f"Example {shown.index + 1}"
    if len(ids) > max_context_tokens:
        raise _refused(
            f"{name} is {len(ids)} tokens long, but at most {max_context_tokens} fit into the context. "
            "Shorten or remove it, or choose a model with a longer context."
        )
    if turns == 0:
        raise _refused(f"{name} has no assistant message to learn from. Add one or remove the example.")
    weights = tuple(weight for span in spans for weight in _weights(span))
    return Lesson(datum=Datum(ids=ids, weights=weights), turns=turns)


def _lessons(
    demonstrations: Sequence[Demonstration], chat: ChatFormat, max_context_tokens: int
) -> Mapping[int, Lesson]:
    return {shown.index: lesson(shown, chat, max_context_tokens=max_context_tokens) for shown in demonstrations}


def _is_turn(span: Span) -> bool:
    return span.kind is TokenKind.SAMPLED and len(span.ids) > 0


def _weights(span: Span) -> list[float]:
    return [1.0 / len(span.ids) if _is_turn(span) else 0.0] * len(span.ids)


def _refused(reason: str) -> JobFailed:
    return JobFailed(
        f"The job failed due to an invalid training file. {reason}",
        code="invalid_training_file",
        param="training_file",
    )


class _Run:
    def __init__(self, job: Job, rules: Supervised, trainer: Trainer, journal: Journal) -> None:
        self.job = job
        self.rules = rules
        self.trainer = trainer
        self.journal = journal

    async def step(self, step: int, batch: Sequence[Lesson]) -> Checkpoint | None:
        """One update; at the end of an epoch a checkpoint."""
        started = time.monotonic()
        await self.journal.progress(step, "training", 0, len(batch))
        settings = UpdateSettings(
            learning_rate=learning_rate(self.job.optimizer, step=step, total_steps=self.rules.total_steps),
            normaliser=float(sum(lesson.turns for lesson in batch)),
            grad_clip=self.job.optimizer.grad_clip,
        )
        stats = await self.trainer.update([lesson.datum for lesson in batch], settings)
        await self.journal.progress(step, "training", len(batch), len(batch))
        seconds = time.monotonic() - started
        metrics = {
            "train_loss": stats.loss,
            "learning_rate": settings.learning_rate,
            **update_metrics(stats),
            **timing_metrics(Timing(training_s=seconds, total_s=seconds)),
        }
        await self.journal.step(step, metrics)
        return await self._save(step, metrics) if self._ends_epoch(step) else None

    def _ends_epoch(self, step: int) -> bool:
        return self._epochs_done(step) > self._epochs_done(step - 1)

    def _epochs_done(self, step: int) -> int:
        return step * self.rules.n_epochs // self.rules.total_steps

    async def _save(self, step: int, metrics: Mapping[str, float]) -> Checkpoint:
        checkpoint = await self.trainer.save(step, metrics)
        await self.journal.checkpoint(checkpoint)
        return checkpoint
