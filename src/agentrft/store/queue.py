"""What a worker does with jobs: claim one, tell how it goes, end it.

Everything here holds while the API is down. A job that is not `running` any more (cancelled meanwhile) takes no result.
"""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from agentrft.domain.ids import new_id
from agentrft.domain.job import JobStatus
from agentrft.store import events as say
from agentrft.store.catalogue import Models
from agentrft.store.database import Database
from agentrft.store.files import Files
from agentrft.store.finite import finite
from agentrft.store.naming import checkpoint_name, fine_tuned_name
from agentrft.store.rows import CheckpointRow, FileRow, JobRow, ModelRow, read_row
from agentrft.store.schema import checkpoints, jobs, models, workers
from agentrft.store.vault import Vault

MAX_CLAIMS = 3  # a job that took this many workers down with it, without a checkpoint, is not given to another


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A job that is this worker's now."""

    job: JobRow
    request: Mapping[str, Any] = field(repr=False)  # as `JobRow.request`, secrets in clear
    training_path: Path
    validation_path: Path | None
    model: ModelRow  # what to start from
    resumed: bool  # another worker had begun


class Queue:
    def __init__(
        self, database: Database, vault: Vault, files: Files, catalogue: Models, *, worker_timeout_s: float
    ) -> None:
        self._database = database
        self._vault = vault
        self._files = files
        self._models = catalogue
        self._worker_timeout_s = worker_timeout_s

    async def claim(self, worker_id: str) -> Claim | None:
        """Take the oldest job that waits, or whose worker has died. None when there is none.

        The job is `running` afterwards and no other worker gets it while this one sends heartbeats.
        """
        while True:
            async with self._database.write() as connection:
                row = await self._next(connection)
                if row is None:
                    return None
                taken = await self._take(connection, row, worker_id)
            claim = await self._read_claim(row["id"], resumed=row["claims"] > 0) if taken else None
            if claim is not None:
                return claim

    async def is_cancel_requested(self, job_id: str, *, worker_id: str | None = None) -> bool:
        """Whether to stop working on the job: it is not running any more, or another worker has it."""
        query = sa.select(jobs.c.status, jobs.c.worker_id).where(jobs.c.id == job_id)
        async with self._database.read() as connection:
            row = (await connection.execute(query)).first()
        if row is None or row.status != JobStatus.RUNNING:
            return True
        return worker_id is not None and row.worker_id != worker_id

    async def append_event(
        self,
        job_id: str,
        message: str,
        *,
        level: str = "info",
        type: str = "message",
        data: Mapping[str, Any] | None = None,
    ) -> None:
        """Add an event (level: info, warn, error; type: message, metrics). Must hold no secret."""
        now = self._database.now()
        async with self._database.write() as connection:
            await say.append_event(connection, job_id, message, now=now, level=level, type=type, data=data)

    async def set_hyperparameters(self, job_id: str, settled: Mapping[str, Any]) -> None:
        """What became of every "auto"; shown in place of it from now on."""
        await self._update(job_id, hyperparameters=finite(settled))

    async def set_progress(self, job_id: str, *, phase: str, step: int, done: int, expected: int) -> None:
        """Where in a step the job is. Only the latest is kept."""
        progress = {"phase": phase, "step": step, "done": done, "expected": expected}
        await self._update(job_id, progress=progress | {"updated_at": self._database.now_exact()})

    async def set_usage(
        self, job_id: str, *, usage: Mapping[str, Any], trained_tokens: int | None, estimated_finish: int | None
    ) -> None:
        """What the job took so far (`usage` is OpenAI's `usage_metrics`), and when it may end (unix seconds)."""
        await self._update(
            job_id, usage=finite(usage), trained_tokens=trained_tokens, estimated_finish=estimated_finish
        )

    async def add_checkpoint(
        self, job_id: str, *, step: int, path: Path, metrics: Mapping[str, float]
    ) -> CheckpointRow | None:
        """Make a checkpoint a model, with its event. Replaces one of the same step. None when the job has ended."""
        async with self._database.write() as connection:
            job = await _find_running(connection, job_id)
            if job is None:
                return None
            await _drop_checkpoint(connection, job_id, step)
            name = checkpoint_name(self._name(job), step)
            row = CheckpointRow(
                id=new_id("ftckpt_"),
                job_id=job_id,
                created_at=self._database.now(),
                step_number=step,
                model_name=name,
                path=str(path),
                metrics=finite(metrics),
            )
            values = {key: getattr(row, key) for key in row.__slots__}
            await connection.execute(checkpoints.insert().values(values))
            await self._add_model(connection, job, name=name, path=path, step=step)
            # It gets on: workers that die from now on are counted anew.
            await connection.execute(jobs.update().where(jobs.c.id == job_id).values({"claims": 1}))
            message = say.checkpoint_created(step, name)
            await say.append_event(connection, job_id, message, now=row.created_at, data={})
        return row

    async def add_result_file(self, job_id: str, *, filename: str, content: bytes) -> FileRow:
        """Keep a file of results and show it in the job's `result_files`."""
        async with self._database.read() as connection:
            found = await connection.execute(sa.select(jobs.c.project_id).where(jobs.c.id == job_id))
            project_id: str = found.scalar_one()
        draft = await self._files.receive(_single(content))
        file = await self._files.adopt(draft, project_id=project_id, filename=filename, purpose="fine-tune-results")
        async with self._database.write() as connection:
            before = await connection.scalar(sa.select(jobs.c.result_files).where(jobs.c.id == job_id))
            values = {"result_files": [*(before or ()), file.id]}
            await connection.execute(jobs.update().where(jobs.c.id == job_id).values(values))
        return file

    async def finish(self, job_id: str, *, path: Path) -> str | None:
        """The job succeeded; `path` holds the final model. Returns its name, or None when the job had ended before."""
        now = self._database.now()
        async with self._database.write() as connection:
            job = await _find_running(connection, job_id)
            if job is None:
                return None
            name = self._name(job)
            await self._add_model(connection, job, name=name, path=path, step=None)
            end = {"status": JobStatus.SUCCEEDED, "fine_tuned_model": name}
            await _end(connection, job_id, end, now=now)
            await say.append_event(connection, job_id, say.model_created(name), now=now)
            await say.append_event(connection, job_id, say.SUCCEEDED, now=now)
        return name

    async def fail(self, job_id: str, *, code: str, message: str, param: str | None = None) -> bool:
        """The job cannot go on. False when it had ended before."""
        async with self._database.write() as connection:
            if await _find_running(connection, job_id) is None:
                return False
            await self._fail(connection, job_id, code=code, message=message, param=param)
        return True

    async def _next(self, connection: AsyncConnection) -> sa.RowMapping | None:
        alive = sa.select(workers.c.id).where(
            workers.c.heartbeat_at >= self._database.now_exact() - self._worker_timeout_s
        )
        orphaned = sa.and_(
            jobs.c.status == JobStatus.RUNNING, sa.or_(jobs.c.worker_id.is_(None), jobs.c.worker_id.not_in(alive))
        )
        waiting = sa.or_(jobs.c.status == JobStatus.QUEUED, orphaned)
        query = sa.select(jobs.c.id, jobs.c.claims).where(waiting).order_by(jobs.c.seq).limit(1)
        return (await connection.execute(query.with_for_update(skip_locked=True))).mappings().first()

    async def _take(self, connection: AsyncConnection, row: sa.RowMapping, worker_id: str) -> bool:
        job_id, now = row["id"], self._database.now()
        if row["claims"] >= MAX_CLAIMS:
            message = (
                f"The job's worker stopped {MAX_CLAIMS} times, most likely for want of memory. See the worker's log."
            )
            await self._fail(connection, job_id, code="worker_lost", message=message, param=None)
            return False
        first = row["claims"] == 0
        values: dict[str, Any] = {"status": JobStatus.RUNNING, "worker_id": worker_id, "claims": row["claims"] + 1}
        values |= {"started_at": now} if first else {}
        await connection.execute(jobs.update().where(jobs.c.id == job_id).values(values))
        message, level = (say.STARTED, "info") if first else (say.RESUMED, "warn")
        await say.append_event(connection, job_id, message, now=now, level=level)
        return True

    async def _read_claim(self, job_id: str, *, resumed: bool) -> Claim | None:
        async with self._database.read() as connection:
            row = (await connection.execute(sa.select(jobs).where(jobs.c.id == job_id))).mappings().one()
        job = read_row(JobRow, row)
        model = await self._models.find(job.project_id, job.base_model)
        if model is None:
            message = f"The model `{job.base_model}` was there when the job was created and is gone. Put it back."
            await self.fail(job_id, code="model_not_found", message=message, param="model")
            return None
        return Claim(
            job=job,
            request=self._vault.unseal_json(row["sealed_request"]),
            training_path=self._files.snapshot_path(job_id, "training"),
            validation_path=self._files.snapshot_path(job_id, "validation") if job.validation_file else None,
            model=model,
            resumed=resumed,
        )

    async def _update(self, job_id: str, **values: object) -> None:
        async with self._database.write() as connection:
            running = sa.and_(jobs.c.id == job_id, jobs.c.status == JobStatus.RUNNING)
            await connection.execute(jobs.update().where(running).values(values))

    async def _add_model(
        self, connection: AsyncConnection, job: JobRow, *, name: str, path: Path, step: int | None
    ) -> None:
        base, base_source = await self._models.root(connection, job)
        values = {
            "name": name,
            "project_id": job.project_id,
            "base": base,
            "base_source": base_source,
            "source": f"folder:{path}",
            "job_id": job.id,
            "step_number": step,
            "created_at": self._database.now(),
        }
        await connection.execute(models.insert().values(values))

    def _name(self, job: JobRow) -> str:
        return fine_tuned_name(job.model, organization=self._models.organization, suffix=job.suffix)

    async def _fail(
        self, connection: AsyncConnection, job_id: str, *, code: str, message: str, param: str | None
    ) -> None:
        now = self._database.now()
        end = {"status": JobStatus.FAILED, "error": {"code": code, "message": message, "param": param}}
        await _end(connection, job_id, end, now=now)
        await say.append_event(connection, job_id, message, now=now, level="error", data={"code": code})


async def _find_running(connection: AsyncConnection, job_id: str) -> JobRow | None:
    query = sa.select(jobs).where(jobs.c.id == job_id, jobs.c.status == JobStatus.RUNNING)
    row = (await connection.execute(query.with_for_update())).mappings().first()
    return read_row(JobRow, row) if row else None


async def _end(connection: AsyncConnection, job_id: str, values: Mapping[str, Any], *, now: int) -> None:
    end = {**values, "finished_at": now, "estimated_finish": None}
    await connection.execute(jobs.update().where(jobs.c.id == job_id).values(end))


async def _drop_checkpoint(connection: AsyncConnection, job_id: str, step: int) -> None:
    same = sa.and_(checkpoints.c.job_id == job_id, checkpoints.c.step_number == step)
    name = await connection.scalar(sa.select(checkpoints.c.model_name).where(same))
    if name is not None:
        await connection.execute(checkpoints.delete().where(same))
        await connection.execute(models.delete().where(models.c.name == name))


async def _single(content: bytes) -> AsyncIterator[bytes]:
    yield content
