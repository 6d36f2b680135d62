from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from agentrft.domain.job import Method
from agentrft.store import Settings, Store, open_store
from agentrft.store.jobs import NewJob, Submission
from agentrft.store.keys import DEFAULT_PROJECT


@dataclass
class Clock:
    now: float = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    models_dir = tmp_path / "models"
    (models_dir / "tiny").mkdir(parents=True)
    (models_dir / "tiny" / "config.json").write_text('{"model_type": "qwen3"}')
    (models_dir / "no-model").mkdir()
    return Settings(data_dir=tmp_path / "data", models_dir=models_dir, aliases={"gpt-5": "tiny"})


@pytest.fixture
async def store(settings: Settings, clock: Clock) -> AsyncIterator[Store]:
    async with open_store(settings, clock=clock) as opened:
        await opened.keys.bootstrap("sk-test")
        yield opened


async def chunks(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


@pytest.fixture
async def new_job(store: Store) -> NewJob:
    """A job that can be created, of a file that is there."""
    draft = await store.files.receive(chunks(b'{"messages": []}\n'))
    file = await store.files.adopt(draft, project_id=DEFAULT_PROJECT, filename="train.jsonl", purpose="fine-tune")
    return NewJob(
        project_id=DEFAULT_PROJECT,
        method=Method.REINFORCEMENT,
        model="tiny",
        base_model="tiny",
        training_file=file.id,
        validation_file=file.id,
        suffix="demo",
        seed=7,
        metadata=None,
        request={"headers": "**********"},
        secret_request={"headers": "Bearer very-secret"},
        submission=Submission(request_hash="0" * 64),
    )


@pytest.fixture
def submit(store: Store, new_job: NewJob) -> Callable[..., object]:
    """Create and enqueue a job; returns its id."""

    async def run(**changes: object) -> str:
        job = await store.jobs.create(replace(new_job, **changes))
        await store.jobs.enqueue(job.id)
        return job.id

    return run
