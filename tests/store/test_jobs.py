from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from agentrft.domain.errors import UserError
from agentrft.domain.job import JobStatus
from agentrft.store import Store
from agentrft.store.jobs import NewJob, Submission, request_hash
from agentrft.store.keys import DEFAULT_PROJECT

HASH = "0" * 64


async def test_one_idempotency_key_makes_one_job(store: Store, new_job: NewJob) -> None:
    keyed = replace(new_job, submission=Submission(request_hash=HASH, idempotency_key="k1"))
    first = await store.jobs.create(keyed)
    assert (await store.jobs.create(keyed)).id == first.id
    with pytest.raises(UserError, match="Idempotency-Key"):
        await store.jobs.create(replace(keyed, submission=Submission(request_hash="1" * 64, idempotency_key="k1")))
    assert (await store.jobs.create(new_job)).id != first.id
    folders = {path.name for path in (store.settings.data_dir / "jobs").iterdir()}
    assert len(folders) == 2


async def test_a_request_that_is_sent_again_is_the_job_it_made_before(
    store: Store, new_job: NewJob, clock: Any
) -> None:
    first = await store.jobs.create(new_job)
    now = int(clock.now)
    assert (
        await store.jobs.create(replace(new_job, submission=Submission(request_hash=HASH, repeats_since=now - 60)))
    ).id == first.id
    assert (
        await store.jobs.create(replace(new_job, submission=Submission(request_hash=HASH, repeats_since=now + 1)))
    ).id != first.id


async def test_a_job_without_its_file_is_not_created(store: Store, new_job: NewJob) -> None:
    with pytest.raises(UserError) as caught:
        await store.jobs.create(replace(new_job, validation_file="file-none"))
    assert caught.value.param == "validation_file"
    assert list((store.settings.data_dir / "jobs").iterdir()) == []
    assert (await store.jobs.page(DEFAULT_PROJECT, after=None, limit=9)).data == []


async def test_jobs_left_in_validation_by_a_dead_server_are_enqueued(store: Store, new_job: NewJob) -> None:
    job = await store.jobs.create(new_job)
    assert job.status is JobStatus.VALIDATING_FILES
    await store.jobs.enqueue_left_over()
    found = await store.jobs.find(DEFAULT_PROJECT, job.id)
    assert found is not None
    assert found.status is JobStatus.QUEUED


async def test_jobs_are_listed_newest_first_and_by_metadata(store: Store, new_job: NewJob, submit: Callable) -> None:
    plain = await submit()
    tagged = await submit(metadata={"team": "a", "run": "1"})
    other = await submit(metadata={"team": "b"})
    page = await store.jobs.page(DEFAULT_PROJECT, after=None, limit=2)
    assert ([job.id for job in page.data], page.has_more) == ([other, tagged], True)
    found = await store.jobs.page(DEFAULT_PROJECT, after=None, limit=9, metadata={"team": "a"})
    assert [job.id for job in found.data] == [tagged]
    without = await store.jobs.page(DEFAULT_PROJECT, after=None, limit=9, metadata={})
    assert [job.id for job in without.data] == [plain]


async def test_jobs_are_watched_from_their_start_until_a_while_after_their_end(
    store: Store, submit: Callable, clock: Any
) -> None:
    over, running, waiting = [await submit() for _ in range(3)]
    worker = await store.workers.register(device="cpu")
    for _ in range(2):
        await store.queue.claim(worker)
    await store.queue.fail(over, code="x", message="y")
    assert [job.id for job in await store.jobs.watched(DEFAULT_PROJECT, over_for_s=60)] == [over, running]
    clock.now += 61
    assert [job.id for job in await store.jobs.watched(DEFAULT_PROJECT, over_for_s=60)] == [running]
    assert await store.jobs.watched("proj_other", over_for_s=60) == []
    assert await store.jobs.count(DEFAULT_PROJECT) == {
        JobStatus.FAILED: 1,
        JobStatus.RUNNING: 1,
        JobStatus.QUEUED: 1,
    }
    assert waiting not in (over, running)


async def test_of_a_step_that_was_done_again_the_last_numbers_count(store: Store, submit: Callable) -> None:
    job_id = await submit()
    for step, loss in ((1, 0.5), (2, 0.4), (1, 0.3)):
        await store.queue.append_event(job_id, "m", type="metrics", data={"step": step, "loss": loss})
    assert await store.jobs.metrics(job_id) == [{"step": 1, "loss": 0.3}, {"step": 2, "loss": 0.4}]


def test_a_hash_does_not_depend_on_the_order_of_keys() -> None:
    assert request_hash({"a": 1, "b": 2}) == request_hash({"b": 2, "a": 1})
