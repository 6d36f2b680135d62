"""Which workers live, and where they serve."""

import sqlalchemy as sa

from agentrft.domain.ids import new_id
from agentrft.store.database import Database
from agentrft.store.rows import WorkerRow
from agentrft.store.schema import workers
from agentrft.store.vault import Vault

FORGET_AFTER_S = 24 * 3600


class Workers:
    def __init__(self, database: Database, vault: Vault, *, timeout_s: float) -> None:
        self._database = database
        self._vault = vault
        self._timeout_s = timeout_s

    async def register(self, *, device: str, url: str | None = None, token: str | None = None) -> str:
        """Announce a worker; returns its id.

        Args:
            device: for people, e.g. `cpu` or `cuda:0`.
            url: where it answers `POST {url}/generate`; None when it serves no inference.
            token: the bearer token that it wants there.
        """
        now = self._database.now_exact()
        values = {
            "id": new_id("worker_"),
            "url": url.rstrip("/") if url else None,
            "sealed_token": self._vault.seal(token) if token else None,
            "device": device,
            "started_at": int(now),
            "heartbeat_at": now,
        }
        async with self._database.write() as connection:
            await connection.execute(workers.delete().where(workers.c.heartbeat_at < now - FORGET_AFTER_S))
            await connection.execute(workers.insert().values(values))
        return str(values["id"])

    async def heartbeat(self, worker_id: str) -> bool:
        """Say that the worker lives. False when it was forgotten and must register anew."""
        query = workers.update().where(workers.c.id == worker_id).values(heartbeat_at=self._database.now_exact())
        async with self._database.write() as connection:
            return (await connection.execute(query)).rowcount > 0

    async def remove(self, worker_id: str) -> None:
        """The worker leaves; whatever job it held may be claimed by another at once."""
        async with self._database.write() as connection:
            await connection.execute(workers.delete().where(workers.c.id == worker_id))

    async def serving(self) -> list[WorkerRow]:
        """Live workers that serve inference, the most recently heard first."""
        alive = workers.c.heartbeat_at >= self._database.now_exact() - self._timeout_s
        query = sa.select(workers).where(alive, workers.c.url.is_not(None)).order_by(workers.c.heartbeat_at.desc())
        async with self._database.read() as connection:
            rows = (await connection.execute(query)).all()
        return [
            WorkerRow(id=row.id, device=row.device, url=row.url, token=self._unseal(row.sealed_token)) for row in rows
        ]

    def _unseal(self, sealed: bytes | None) -> str | None:
        return self._vault.unseal(sealed) if sealed is not None else None
