"""Opening the store: folders, key, migrations, and one object that holds its parts."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from agentrft.store.catalogue import Models
from agentrft.store.database import Database
from agentrft.store.files import Files
from agentrft.store.jobs import Jobs
from agentrft.store.judges import Judges
from agentrft.store.keys import Keys
from agentrft.store.queue import Queue
from agentrft.store.settings import Settings
from agentrft.store.vault import Vault
from agentrft.store.workers import Workers


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """`jobs` is what the API does with jobs, `queue` what a worker does with them."""

    settings: Settings
    vault: Vault
    keys: Keys
    files: Files
    jobs: Jobs
    queue: Queue
    models: Models
    workers: Workers
    judges: Judges

    @property
    def runs_dir(self) -> Path:
        """Where episode files lie: `runs/<job>`."""
        return self.settings.data_dir / "runs"


@asynccontextmanager
async def open_store(settings: Settings, *, clock: Callable[[], float] = time.time) -> AsyncIterator[Store]:
    """The store of one installation, its tables up to date; closed at the end.

    Server and worker each open it for themselves.
    """
    vault = await asyncio.to_thread(_prepare_data_dir, settings.data_dir)
    database = Database(settings.sqlalchemy_url, clock=clock)
    try:
        await database.migrate()
        yield _assemble(settings, vault, database)
    finally:
        await database.close()


def _assemble(settings: Settings, vault: Vault, database: Database) -> Store:
    files = Files(database, settings.data_dir)
    models = Models(database, settings)
    jobs = Jobs(database, vault, files)
    queue = Queue(database, vault, files, models, worker_timeout_s=settings.worker_timeout_s)
    workers = Workers(database, vault, timeout_s=settings.worker_timeout_s)
    return Store(
        settings=settings,
        vault=vault,
        keys=Keys(database),
        files=files,
        jobs=jobs,
        queue=queue,
        models=models,
        workers=workers,
        judges=Judges(settings, models, vault),
    )


def _prepare_data_dir(data_dir: Path) -> Vault:
    data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    for name in ("files", "uploads", "jobs", "runs", "models"):
        (data_dir / name).mkdir(exist_ok=True)
    return Vault.open(data_dir / "secret.key")
