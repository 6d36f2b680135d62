"""What a journal tells the store."""

from dataclasses import replace

from agentrft.domain.job import Method
from agentrft.store import Store
from agentrft.store.keys import DEFAULT_PROJECT
from agentrft.testing import a_job
from agentrft.worker.journal import StoreJournal
from tests.worker.requests import ASK, GRADER, submit


async def test_progress_is_told_now_and_then_but_every_change_of_phase_at_once(store: Store) -> None:
    job_id = await submit(store, Method.REINFORCEMENT, {"grader": GRADER}, rows=[ASK], validation=[ASK])
    await store.queue.claim(await store.workers.register(device="cpu"))
    journal = StoreJournal(store, replace(a_job(), id=job_id))

    async def told(phase: str, done: int) -> tuple[str, int]:
        await journal.progress(1, phase, done, 8)
        job = await store.jobs.find(DEFAULT_PROJECT, job_id)
        assert job is not None
        assert job.progress is not None
        return job.progress["phase"], job.progress["done"]

    assert await told("sampling", 1) == ("sampling", 1)
    assert await told("sampling", 2) == ("sampling", 1)
    assert await told("waiting", 2) == ("waiting", 2)
    assert await told("sampling", 2) == ("sampling", 2)
    assert await told("sampling", 8) == ("sampling", 8)
