"""One way to begin a transaction on SQLite and PostgreSQL alike, and migrations at start-up."""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from sqlalchemy import event
from sqlalchemy.engine import Connection
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

MIGRATIONS = Path(__file__).parent / "migrations"
BUSY_TIMEOUT_S = 30
_MIGRATION_LOCK = 0x61676E74  # any number that nobody else locks


class Database:
    """Transactions and the clock that rows are stamped with."""

    def __init__(self, url: str, *, clock: Callable[[], float] = time.time) -> None:
        self._engine = create_async_engine(url, pool_pre_ping=not url.startswith("sqlite"))
        if self._engine.dialect.name == "sqlite":
            _prepare_sqlite(self._engine)
        self._writer = self._engine.execution_options(writes=True)
        self._clock = clock

    def now(self) -> int:
        """Unix seconds."""
        return int(self._clock())

    def now_exact(self) -> float:
        return self._clock()

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """One consistent view."""
        async with self._engine.connect() as connection:
            yield connection

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        """All or nothing; the only writer on SQLite."""
        async with self._writer.begin() as connection:
            yield connection

    async def migrate(self) -> None:
        """Bring the tables up to this version of the code. Safe when several processes start at once."""
        async with self.write() as connection:
            await connection.run_sync(_upgrade)

    async def close(self) -> None:
        await self._engine.dispose()


def _prepare_sqlite(engine: AsyncEngine) -> None:
    @event.listens_for(engine.sync_engine, "connect")
    def configure(connection: Any, _record: object) -> None:
        # The driver must not begin transactions: a read that turns into a write would meet SQLITE_BUSY at once.
        connection.isolation_level = None
        cursor = connection.cursor()
        busy_timeout = f"busy_timeout={BUSY_TIMEOUT_S * 1000}"
        for pragma in (busy_timeout, "journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get("writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _upgrade(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_MIGRATION_LOCK)))
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
