"""Uploaded and produced files: a row each, the bytes on disk.

Bytes arrive under uploads/ and move to files/ whole, so that a file that is there is complete.
"""

import asyncio
import os
import shutil
from collections.abc import AsyncIterable
from pathlib import Path

import sqlalchemy as sa

from agentrft.domain.ids import new_id
from agentrft.store.database import Database
from agentrft.store.paging import Order, fetch_page
from agentrft.store.rows import FileRow, Page, read_row
from agentrft.store.schema import files

ABANDONED_AFTER_S = 24 * 3600


class Files:
    def __init__(self, database: Database, data_dir: Path) -> None:
        self._database = database
        self._data_dir = data_dir

    async def receive(self, chunks: AsyncIterable[bytes]) -> Path:
        """Write `chunks` to a new file under uploads/. Nothing stays when they break off."""
        draft = self._data_dir / "uploads" / new_id("upload-")
        try:
            with draft.open("xb") as file:
                async for chunk in chunks:
                    await asyncio.to_thread(file.write, chunk)
                await asyncio.to_thread(_sync, file.fileno())
        except BaseException:
            _remove(draft)
            raise
        return draft

    async def adopt(
        self,
        draft: Path,
        *,
        project_id: str,
        filename: str,
        purpose: str,
        expires_after_s: int | None = None,
        fault: str | None = None,
    ) -> FileRow:
        """Make a received file a file of the project. `fault` says why it cannot be used, if so."""
        now = self._database.now()
        row = FileRow(
            id=new_id("file-", 22),
            project_id=project_id,
            filename=filename,
            purpose=purpose,
            bytes=_size(draft),
            created_at=now,
            expires_at=now + expires_after_s if expires_after_s is not None else None,
            status="processed" if fault is None else "error",
            status_details=fault,
        )
        path = self.path(row.id)
        try:
            os.replace(draft, path)
            async with self._database.write() as connection:
                await connection.execute(files.insert().values({name: getattr(row, name) for name in row.__slots__}))
        except BaseException:
            _remove(draft, path)
            raise
        return row

    def path(self, file_id: str) -> Path:
        """Where the bytes of a file lie."""
        return self._data_dir / "files" / file_id

    async def find(self, project_id: str, file_id: str) -> FileRow | None:
        query = self._visible(project_id).where(files.c.id == file_id)
        async with self._database.read() as connection:
            row = (await connection.execute(query)).mappings().first()
        return read_row(FileRow, row) if row else None

    async def page(
        self, project_id: str, *, purpose: str | None, after: str | None, limit: int, order: Order
    ) -> Page[FileRow]:
        query = self._visible(project_id)
        if purpose is not None:
            query = query.where(files.c.purpose == purpose)
        async with self._database.read() as connection:
            return await fetch_page(connection, query, FileRow, table=files, after=after, limit=limit, order=order)

    async def delete(self, project_id: str, file_id: str) -> bool:
        """False when there is no such file. Jobs keep what they took: see `snapshot`."""
        query = files.delete().where(files.c.project_id == project_id, files.c.id == file_id)
        async with self._database.write() as connection:
            deleted = (await connection.execute(query)).rowcount > 0
        if deleted:
            _remove(self.path(file_id))
        return deleted

    async def snapshot(self, job_id: str, file_id: str, *, role: str) -> Path:
        """Keep the bytes of a file for a job, whatever becomes of the file."""
        target = self.snapshot_path(job_id, role)
        target.parent.mkdir(parents=True, exist_ok=True)
        await asyncio.to_thread(_link_or_copy, self.path(file_id), target)
        return target

    def snapshot_path(self, job_id: str, role: str) -> Path:
        """Where a job keeps its copy; roles: training, validation."""
        return self._data_dir / "jobs" / job_id / f"{role}.jsonl"

    def discard_snapshots(self, job_id: str) -> None:
        shutil.rmtree(self._data_dir / "jobs" / job_id, ignore_errors=True)

    def sweep(self) -> int:
        """Remove uploads that a killed process left behind; returns how many."""
        oldest = self._database.now() - ABANDONED_AFTER_S
        left = [path for path in (self._data_dir / "uploads").iterdir() if path.stat().st_mtime < oldest]
        for path in left:
            path.unlink(missing_ok=True)
        return len(left)

    def _visible(self, project_id: str) -> sa.Select[tuple[object, ...]]:
        unexpired = sa.or_(files.c.expires_at.is_(None), files.c.expires_at > self._database.now())
        return sa.select(files).where(files.c.project_id == project_id, unexpired)


def _size(path: Path) -> int:
    return path.stat().st_size


def _remove(*paths: Path) -> None:
    for path in paths:
        path.unlink(missing_ok=True)


def _sync(descriptor: int) -> None:
    os.fsync(descriptor)


def _link_or_copy(source: Path, target: Path) -> None:
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise
    except OSError:  # another file system, or one without hard links
        shutil.copyfile(source, target)
