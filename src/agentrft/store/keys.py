"""API keys: kept as hashes, shown once."""

import hashlib
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from agentrft.domain.ids import base62, new_id
from agentrft.store.database import Database
from agentrft.store.schema import api_keys, projects

DEFAULT_PROJECT = "proj_default"
_KEY_LENGTH = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who a key belongs to."""

    project_id: str
    key_id: str


class Keys:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def bootstrap(self, preset: str | None = None) -> str | None:
        """Make the first project and key.

        Args:
            preset: a key from the settings, accepted from now on.

        Returns:
            A new key, to be shown to the owner now or never; None when there was one, or `preset` is one.
        """
        async with self._database.write() as connection:
            await self._ensure_project(connection)
            if preset is not None:
                await self._accept(connection, preset)
                return None
            if await connection.scalar(sa.select(api_keys.c.id).limit(1)):
                return None
            key = f"sk-rft-{base62(_KEY_LENGTH)}"
            await self._accept(connection, key)
            return key

    async def accept(self, key: str) -> None:
        """Let `key` in from now on, as a key of the first project."""
        async with self._database.write() as connection:
            await self._ensure_project(connection)
            await self._accept(connection, key)

    async def find(self, key: str) -> Caller | None:
        """Whose key this is; None for a key that is unknown or was revoked."""
        query = sa.select(api_keys.c.id, api_keys.c.project_id).where(
            api_keys.c.key_hash == _hash(key), api_keys.c.revoked_at.is_(None)
        )
        async with self._database.read() as connection:
            row = (await connection.execute(query)).first()
        return Caller(project_id=row.project_id, key_id=row.id) if row else None

    async def _ensure_project(self, connection: AsyncConnection) -> None:
        if not await connection.scalar(sa.select(projects.c.id).where(projects.c.id == DEFAULT_PROJECT)):
            values = {"id": DEFAULT_PROJECT, "name": "Default project", "created_at": self._database.now()}
            await connection.execute(projects.insert().values(values))

    async def _accept(self, connection: AsyncConnection, key: str) -> None:
        if await connection.scalar(sa.select(api_keys.c.id).where(api_keys.c.key_hash == _hash(key))):
            return
        values = {
            "id": new_id("key_"),
            "project_id": DEFAULT_PROJECT,
            "key_hash": _hash(key),
            "hint": f"...{key[-4:]}" if len(key) >= 16 else "...",
            "created_at": self._database.now(),
        }
        await connection.execute(api_keys.insert().values(values))


def _hash(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()
