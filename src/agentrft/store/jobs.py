"""What the API does with jobs: create, read, cancel. A worker's side is queue.py."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from agentrft.domain.errors import UserError
from agentrft.domain.ids import new_id
from agentrft.domain.job import JobStatus, Method
from agentrft.store import events as say
from agentrft.store.database import Database
from agentrft.store.files import Files
from agentrft.store.paging import fetch_page
from agentrft.store.rows import CheckpointRow, EventRow, JobRow, Page, read_row
from agentrft.store.schema import checkpoints, events, jobs
from agentrft.store.vault import Vault

TERMINAL = [status for status in JobStatus if status.terminal]


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """What tells a request that is sent again from a new one."""

    request_hash: str
    idempotency_key: str | None = None
    repeats_since: int | None = None  # unix seconds: an equal request since then is this one, sent again


@dataclass(frozen=True, slots=True, kw_only=True)
class NewJob:
    """A request that passed every check."""

    project_id: str
    method: Method
    model: str
    base_model: str
    training_file: str
    validation_file: str | None
    suffix: str | None
    seed: int
    metadata: Mapping[str, str] | None
    request: Mapping[str, Any]  # secrets masked
    secret_request: Mapping[str, Any] = field(repr=False)
    submission: Submission


class Jobs:
    def __init__(self, database: Database, vault: Vault, files: Files) -> None:
        self._database = database
        self._vault = vault
        self._files = files

    async def create(self, new: NewJob) -> JobRow:
        """Add a job in `validating_files` and keep a copy of its files, or return what this request made before.

        Raises:
            UserError: the idempotency key was used for another request, or a file has gone.
        """
        job_id = new_id("ftjob-")
        job = None
        try:
            await self._snapshot(job_id, new)
            job = await self._insert_or_find(job_id, new)
        finally:
            if job is None or job.id != job_id:
                self._files.discard_snapshots(job_id)
        return job

    async def find_earlier(self, project_id: str, submission: Submission) -> JobRow | None:
        """The job that this request made when it was sent before.

        Raises:
            UserError: the idempotency key was used for another request.
        """
        async with self._database.read() as connection:
            return await _find_earlier(connection, project_id, submission)

    async def enqueue(self, job_id: str) -> None:
        """The files are validated: workers may claim the job."""
        async with self._database.write() as connection:
            await _enqueue(connection, job_id, self._database.now())

    async def enqueue_left_over(self) -> None:
        """Enqueue the jobs that a server created and did not live to enqueue."""
        async with self._database.write() as connection:
            query = sa.select(jobs.c.id).where(jobs.c.status == JobStatus.VALIDATING_FILES).order_by(jobs.c.seq)
            for job_id in (await connection.scalars(query)).all():
                await _enqueue(connection, job_id, self._database.now())

    async def find(self, project_id: str, job_id: str) -> JobRow | None:
        async with self._database.read() as connection:
            return await _find(connection, project_id, job_id)

    async def secret_request(self, project_id: str, job_id: str) -> dict[str, Any] | None:
        """As `JobRow.request`, but with its secrets: for use, never to be shown. None when there is no such job."""
        query = sa.select(jobs.c.sealed_request).where(jobs.c.project_id == project_id, jobs.c.id == job_id)
        async with self._database.read() as connection:
            sealed = await connection.scalar(query)
        return self._vault.unseal_json(sealed) if sealed is not None else None

    async def page(
        self, project_id: str, *, after: str | None, limit: int, metadata: Mapping[str, str] | None = None
    ) -> Page[JobRow]:
        """Newest first. `metadata`: only jobs with these pairs; empty: only jobs without any."""
        query = sa.select(jobs).where(jobs.c.project_id == project_id)
        for key, value in (metadata or {}).items():
            query = query.where(jobs.c.metadata[key].as_string() == value)
        if metadata is not None and not metadata:
            query = query.where(jobs.c.metadata.is_(None))
        async with self._database.read() as connection:
            return await fetch_page(connection, query, JobRow, table=jobs, after=after, limit=limit)

    async def count(self, project_id: str) -> Mapping[JobStatus, int]:
        """How many jobs there are in each status; one without a job is absent."""
        query = sa.select(jobs.c.status, sa.func.count()).where(jobs.c.project_id == project_id).group_by(jobs.c.status)
        async with self._database.read() as connection:
            return {JobStatus(status): number for status, number in await connection.execute(query)}

    async def watched(self, project_id: str, *, over_for_s: int) -> list[JobRow]:
        """The jobs that have begun and are not over, or have been for at most so long; oldest first."""
        recent = sa.or_(jobs.c.finished_at.is_(None), jobs.c.finished_at >= self._database.now() - over_for_s)
        mine = sa.and_(jobs.c.project_id == project_id, jobs.c.started_at.is_not(None))
        async with self._database.read() as connection:
            rows = await connection.execute(sa.select(jobs).where(mine, recent).order_by(jobs.c.seq))
            return [read_row(JobRow, row) for row in rows.mappings()]

    async def cancel(self, project_id: str, job_id: str) -> JobRow | None:
        """End a job now; its worker notices and stops. None when there is no such job.

        Raises:
            UserError: the job has ended already.
        """
        now = self._database.now()
        end = {"status": JobStatus.CANCELLED, "finished_at": now, "estimated_finish": None}
        mine = sa.and_(jobs.c.project_id == project_id, jobs.c.id == job_id)
        query = jobs.update().where(mine, jobs.c.status.not_in(TERMINAL)).values(end)
        async with self._database.write() as connection:
            if (await connection.execute(query)).rowcount:
                await say.append_event(connection, job_id, say.CANCELLED, now=now)
                return await _find(connection, project_id, job_id)
            job = await _find(connection, project_id, job_id)
        if job is not None:
            raise UserError(
                f"Job has already completed: {job_id}", param="fine_tuning_job_id", code="invalid_job_state"
            )
        return None

    async def events(self, job_id: str, *, after: str | None, limit: int) -> Page[EventRow]:
        """Newest first."""
        query = sa.select(events).where(events.c.job_id == job_id)
        async with self._database.read() as connection:
            return await fetch_page(connection, query, EventRow, table=events, after=after, limit=limit)

    async def metrics(self, job_id: str) -> list[Mapping[str, Any]]:
        """The data of the metrics events, in the order of steps; of a step that was done again, the last."""
        query = sa.select(events.c.data).where(events.c.job_id == job_id, events.c.type == "metrics")
        async with self._database.read() as connection:
            rows = [data for data in await connection.scalars(query.order_by(events.c.seq)) if data is not None]
        by_step = {row.get("step") or 0: row for row in rows}
        return [by_step[step] for step in sorted(by_step)]

    async def checkpoints(self, job_id: str, *, after: str | None, limit: int) -> Page[CheckpointRow]:
        """Newest first."""
        query = sa.select(checkpoints).where(checkpoints.c.job_id == job_id)
        async with self._database.read() as connection:
            return await fetch_page(connection, query, CheckpointRow, table=checkpoints, after=after, limit=limit)

    async def _snapshot(self, job_id: str, new: NewJob) -> None:
        for role, file_id in (("training", new.training_file), ("validation", new.validation_file)):
            if file_id is None:
                continue
            try:
                await self._files.snapshot(job_id, file_id, role=role)
            except FileNotFoundError:
                raise UserError(f"No such File object: {file_id}", param=f"{role}_file", code="invalid_value") from None

    async def _insert_or_find(self, job_id: str, new: NewJob) -> JobRow:
        try:
            async with self._database.write() as connection:
                earlier = await _find_earlier(connection, new.project_id, new.submission)
                return earlier or await self._insert(connection, job_id, new)
        except IntegrityError:  # the same key, at the same moment, in another process
            earlier = await self.find_earlier(new.project_id, new.submission)
            if earlier is None:
                raise
            return earlier

    async def _insert(self, connection: AsyncConnection, job_id: str, new: NewJob) -> JobRow:
        now = self._database.now()
        copied = ("project_id", "method", "model", "base_model", "training_file", "validation_file", "suffix", "seed")
        values: dict[str, Any] = {name: getattr(new, name) for name in copied}
        values |= {
            "id": job_id,
            "status": JobStatus.VALIDATING_FILES,
            "request": dict(new.request),
            "sealed_request": self._vault.seal_json(new.secret_request),
            "metadata": dict(new.metadata) if new.metadata else None,
            "result_files": [],
            "created_at": now,
            "idempotency_key": new.submission.idempotency_key,
            "request_hash": new.submission.request_hash,
        }
        await connection.execute(jobs.insert().values(values))
        await say.append_event(connection, job_id, say.created(job_id), now=now, data={})
        message = say.validating(new.training_file, new.validation_file)
        await say.append_event(connection, job_id, message, now=now, data={})
        job = await _find(connection, new.project_id, job_id)
        assert job is not None
        return job


async def _find(connection: AsyncConnection, project_id: str, job_id: str) -> JobRow | None:
    query = sa.select(jobs).where(jobs.c.project_id == project_id, jobs.c.id == job_id)
    row = (await connection.execute(query)).mappings().first()
    return read_row(JobRow, row) if row else None


async def _find_earlier(connection: AsyncConnection, project_id: str, new: Submission) -> JobRow | None:
    mine = sa.select(jobs).where(jobs.c.project_id == project_id)
    if new.idempotency_key is not None:
        query = mine.where(jobs.c.idempotency_key == new.idempotency_key)
    elif new.repeats_since is not None:
        query = mine.where(jobs.c.request_hash == new.request_hash, jobs.c.created_at >= new.repeats_since)
    else:
        return None
    row = (await connection.execute(query.order_by(jobs.c.seq.desc()).limit(1))).mappings().first()
    if row is not None and row["request_hash"] != new.request_hash:
        message = "This Idempotency-Key was used for another request. Send a new key with a new request."
        raise UserError(message, param="Idempotency-Key", code="idempotency_key_reused")
    return read_row(JobRow, row) if row else None


async def _enqueue(connection: AsyncConnection, job_id: str, now: int) -> None:
    waiting = sa.and_(jobs.c.id == job_id, jobs.c.status == JobStatus.VALIDATING_FILES)
    if (await connection.execute(jobs.update().where(waiting).values(status=JobStatus.QUEUED))).rowcount:
        await say.append_event(connection, job_id, say.VALIDATED, now=now, data={})


def request_hash(body: Mapping[str, Any]) -> str:
    """The same for equal requests, whatever the order of their keys."""
    return hashlib.sha256(json.dumps(body, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
