import asyncio
import stat

import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from agentrft.store import Settings, Store, open_store
from agentrft.store.database import Database
from agentrft.store.keys import DEFAULT_PROJECT
from agentrft.store.schema import metadata
from agentrft.store.vault import Vault


async def test_migrations_build_exactly_the_tables_that_queries_expect(store: Store) -> None:
    engine = sa.create_engine(f"sqlite:///{store.settings.data_dir / 'agentrft.db'}")
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
        assert connection.scalar(sa.text("PRAGMA journal_mode")) == "wal"
    engine.dispose()


async def test_several_processes_may_start_at_once(settings: Settings) -> None:
    settings.data_dir.mkdir()
    databases = [Database(settings.sqlalchemy_url) for _ in range(3)]
    await asyncio.gather(*(database.migrate() for database in databases))
    for database in databases:
        await database.close()


async def test_the_first_key_is_shown_once_and_kept_as_a_hash(settings: Settings) -> None:
    async with open_store(settings) as store:
        key = await store.keys.bootstrap()
        assert key is not None
        assert await store.keys.bootstrap() is None
        caller = await store.keys.find(key)
        assert caller is not None
        assert caller.project_id == DEFAULT_PROJECT
        assert await store.keys.find(key + "x") is None
    content = b"".join(path.read_bytes() for path in settings.data_dir.glob("agentrft.db*"))
    assert key.encode() not in content


async def test_a_key_from_the_settings_is_accepted_and_no_other_is_made(settings: Settings) -> None:
    async with open_store(settings) as store:
        assert await store.keys.bootstrap("sk-mine") is None
        assert await store.keys.bootstrap("sk-mine") is None
        assert await store.keys.find("sk-mine")


async def test_the_key_file_is_for_its_owner_alone_and_opens_what_it_sealed(store: Store) -> None:
    path = store.settings.data_dir / "secret.key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    sealed = store.vault.seal_json({"a": "ü"})
    assert Vault.open(path).unseal_json(sealed) == {"a": "ü"}
