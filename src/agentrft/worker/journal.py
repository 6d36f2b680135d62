"""The `Journal` port over the store: what a job did becomes events, episode files, checkpoints and progress."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from agentrft.domain.episode import GradedEpisode
from agentrft.domain.job import Job
from agentrft.domain.training import Checkpoint
from agentrft.store import Store, events
from agentrft.store.episodes import EpisodeFiles
from agentrft.store.record import episode_record
from agentrft.worker.payload import checkpoint_metrics, reinforcement_data, result_csv, supervised_data
from agentrft.worker.resume import ResumePoint, write_resume_point

PROGRESS_INTERVAL_S = 0.5


class StoreJournal:
    """Writes down one job."""

    def __init__(self, store: Store, job: Job) -> None:
        self._store = store
        self._job = job
        self._files = EpisodeFiles(store.runs_dir / job.id)
        self._rows: list[tuple[int, Mapping[str, float]]] = []
        self._tokens = 0.0
        self._started = time.monotonic()
        self._first: tuple[int, float] | None = None  # the first step that was told, and when
        self._told_progress = 0.0
        self._told_phase = ""
        self._position: Callable[[], Mapping[str, Any]] = dict
        rules = job.reinforcement or job.supervised
        self._total_steps = rules.total_steps if rules else 0
        self._tool_names: Sequence[str] = ()

    @property
    def folder(self) -> Path:
        """Where the job's episodes and its point to resume from are."""
        return self._store.runs_dir / self._job.id

    @property
    def _seconds(self) -> float:
        """That the job has taken, with those of workers that died."""
        return time.monotonic() - self._started

    def follow(self, position: Callable[[], Mapping[str, Any]]) -> None:
        """`position` says at every checkpoint where the order of the examples stands."""
        self._position = position

    def name_tools(self, names: Sequence[str]) -> None:
        """The tools that metrics events tell apart."""
        self._tool_names = names

    async def episode(self, split: str, step: int, graded: GradedEpisode) -> None:
        """See ports.Journal."""
        await asyncio.to_thread(self._files.append, split, step, episode_record(graded))

    async def progress(self, step: int, phase: str, done: int, expected: int) -> None:
        """See ports.Journal. At most a few times a second reach the store, and every change of phase."""
        now = time.monotonic()
        recent = phase == self._told_phase and now - self._told_progress < PROGRESS_INTERVAL_S
        if done < expected and done and recent:
            return
        self._told_progress, self._told_phase = now, phase
        await self._store.queue.set_progress(self._job.id, phase=phase, step=step, done=done, expected=expected)

    async def step(self, step: int, metrics: Mapping[str, float]) -> None:
        """See ports.Journal."""
        self._rows.append((step, metrics))
        self._tokens += metrics.get("train/tokens", 0.0)
        if self._job.reinforcement is not None:
            await self._reinforcement_event(step, metrics)
        else:
            data = supervised_data(step, self._total_steps, metrics)
            loss = data["train_loss"]
            message = f"Step {step}/{self._total_steps}: training loss={loss:.2f}"
            await self._store.queue.append_event(self._job.id, message, type="metrics", data=data)
        await self._tell_usage(step)

    async def checkpoint(self, checkpoint: Checkpoint) -> None:
        """See ports.Journal."""
        shown = checkpoint_metrics(checkpoint.step, checkpoint.metrics)
        await self._store.queue.add_checkpoint(
            self._job.id, step=checkpoint.step, path=Path(checkpoint.path), metrics=shown
        )
        # After the row: a job that goes on behind this checkpoint must not lack it.
        point = ResumePoint(
            checkpoint=checkpoint,
            order=self._position(),
            rows=tuple(self._rows),
            tokens=self._tokens,
            seconds=self._seconds,
        )
        await asyncio.to_thread(write_resume_point, self.folder, point)

    async def warn(self, message: str, *, data: Mapping[str, Any] | None = None) -> None:
        """See ports.Journal."""
        await self._store.queue.append_event(self._job.id, message, level="warn", data=data)

    def go_on(self, point: ResumePoint | None) -> None:
        """Take over from a worker that died: forget what it did behind `point`, without one all of it. Blocks."""
        last = -1 if point is None else point.checkpoint.step
        for split, step in self._files.steps():
            if step > last:
                self._files.discard(split, step)
        if point is not None:
            self._rows, self._tokens = list(point.rows), point.tokens
            self._started -= point.seconds

    async def add_result_file(self) -> None:
        """Keep the steps' numbers as CSV."""
        await self._store.queue.add_result_file(
            self._job.id, filename="step_metrics.csv", content=result_csv(self._rows)
        )

    async def _reinforcement_event(self, step: int, metrics: Mapping[str, float]) -> None:
        rules = self._job.reinforcement
        if rules is None:
            return
        data = reinforcement_data(step, self._total_steps, metrics, tools=self._tool_names, grader=rules.grader)
        message = events.step_message(
            step,
            self._total_steps,
            train_reward=metrics.get("train_reward_mean"),
            valid_reward=metrics.get("valid_reward_mean"),
        )
        await self._store.queue.append_event(self._job.id, message, type="metrics", data=data)

    async def _tell_usage(self, step: int) -> None:
        now = time.monotonic()
        first, told = self._first = self._first or (step, now)
        finish = None
        if step > max(first, 1) and self._total_steps:
            finish = int(time.time() + (now - told) / (step - first) * (self._total_steps - step))
        await self._store.queue.set_usage(
            self._job.id,
            usage={"type": self._job.method.value, "training_time_seconds": int(self._seconds)},
            trained_tokens=int(self._tokens),
            estimated_finish=finish,
        )
