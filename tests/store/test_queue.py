import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agentrft.domain.errors import UserError
from agentrft.domain.job import JobStatus
from agentrft.store import Store, open_store
from agentrft.store.keys import DEFAULT_PROJECT
from agentrft.store.queue import MAX_CLAIMS


async def messages(store: Store, job_id: str) -> list[str]:
    page = await store.jobs.events(job_id, after=None, limit=100)
    return [event.message for event in reversed(page.data)]


async def find(store: Store, job_id: str):
    return await store.jobs.find(DEFAULT_PROJECT, job_id)


async def test_a_whole_life_gives_openais_events_in_order(store: Store, submit: Callable, tmp_path: Path) -> None:
    job_id = await submit()
    worker = await store.workers.register(device="cpu")
    claim = await store.queue.claim(worker)
    assert claim is not None
    await store.queue.set_hyperparameters(job_id, {"batch_size": 4})
    await store.queue.append_event(job_id, "Step 1/2 ", type="metrics", data={"step": 1})
    checkpoint = await store.queue.add_checkpoint(job_id, step=1, path=tmp_path / "c1", metrics={"reward": 0.5})
    await store.queue.set_usage(
        job_id, usage={"training_time_seconds": 3}, trained_tokens=9, estimated_finish=1_800_000_000
    )
    result = await store.queue.add_result_file(job_id, filename="step_metrics.csv", content=b"step\n1\n")
    name = await store.queue.finish(job_id, path=tmp_path / "final")
    job = await find(store, job_id)
    file = job.training_file
    assert checkpoint is not None
    assert await messages(store, job_id) == [
        f"Created fine-tuning job: {job_id}",
        f"Validating training file: {file} and validation file: {file}",
        "Files validated, moving job to queued state",
        "Fine-tuning job started",
        "Step 1/2 ",
        f"Checkpoint created at step 1 with Snapshot ID: {checkpoint.model_name}",
        f"New fine-tuned model created: {name}",
        "The job has successfully completed",
    ]
    assert (job.status, job.fine_tuned_model, job.result_files) == (JobStatus.SUCCEEDED, name, [result.id])
    assert (job.hyperparameters, job.trained_tokens, job.estimated_finish) == ({"batch_size": 4}, 9, None)
    assert job.finished_at is not None
    assert await store.jobs.metrics(job_id) == [{"step": 1}]


async def test_names_follow_openais_form(store: Store, submit: Callable, tmp_path: Path) -> None:
    job_id = await submit()
    await store.queue.claim(await store.workers.register(device="cpu"))
    checkpoint = await store.queue.add_checkpoint(job_id, step=5, path=tmp_path / "c", metrics={})
    name = await store.queue.finish(job_id, path=tmp_path / "f")
    assert checkpoint is not None
    assert name is not None
    head, organization, suffix, unique = name.split(":")[1:]
    assert (head, organization, suffix, len(unique)) == ("tiny", "local", "demo", 8)
    assert checkpoint.model_name.endswith(":ckpt-step-5")
    assert not checkpoint.model_name.startswith(name)


async def test_the_worker_gets_the_secrets_that_nobody_else_sees(store: Store, submit: Callable) -> None:
    job_id = await submit()
    claim = await store.queue.claim(await store.workers.register(device="cpu"))
    assert claim is not None
    assert claim.request == {"headers": "Bearer very-secret"}
    assert (await find(store, job_id)).request == {"headers": "**********"}
    assert "very-secret" not in repr(claim)
    everything = b"".join(path.read_bytes() for path in store.settings.data_dir.glob("agentrft.db*"))
    assert b"very-secret" not in everything
    assert claim.training_path.read_bytes() == b'{"messages": []}\n'
    assert claim.model.source == f"folder:{store.settings.models_dir / 'tiny'}"


async def test_two_workers_never_get_the_same_job(store: Store, submit: Callable) -> None:
    ids = {await submit() for _ in range(4)}
    workers = [await store.workers.register(device="cpu") for _ in range(6)]
    async with open_store(store.settings, clock=store.queue._database._clock) as other:
        queues = [store.queue, other.queue] * 3
        claims = await asyncio.gather(*(queue.claim(worker) for queue, worker in zip(queues, workers, strict=True)))
    taken = [claim.job.id for claim in claims if claim]
    assert sorted(taken) == sorted(ids)


async def test_a_job_whose_worker_died_goes_to_another_that_knows_it_resumes(
    store: Store, submit: Callable, clock: Any, tmp_path: Path
) -> None:
    job_id = await submit()
    first = await store.workers.register(device="cpu")
    assert await store.queue.claim(first)
    await store.queue.add_checkpoint(job_id, step=3, path=tmp_path / "c3", metrics={})
    second = await store.workers.register(device="cpu")
    assert await store.queue.claim(second) is None
    clock.now += 31
    assert await store.workers.heartbeat(second)
    claim = await store.queue.claim(second)
    assert claim is not None
    assert claim.resumed
    assert await store.queue.is_cancel_requested(job_id, worker_id=first)
    assert not await store.queue.is_cancel_requested(job_id, worker_id=second)


async def test_a_job_that_kills_its_workers_is_failed_in_the_end(store: Store, submit: Callable) -> None:
    job_id = await submit()
    for _ in range(MAX_CLAIMS):
        worker = await store.workers.register(device="cpu")
        assert await store.queue.claim(worker)
        await store.workers.remove(worker)
    assert await store.queue.claim(await store.workers.register(device="cpu")) is None
    job = await find(store, job_id)
    assert (job.status, job.error["code"]) == (JobStatus.FAILED, "worker_lost")


async def test_a_cancelled_job_stops_and_takes_no_result(store: Store, submit: Callable, tmp_path: Path) -> None:
    job_id = await submit()
    await store.queue.claim(await store.workers.register(device="cpu"))
    assert not await store.queue.is_cancel_requested(job_id)
    job = await store.jobs.cancel(DEFAULT_PROJECT, job_id)
    assert job is not None
    assert job.status is JobStatus.CANCELLED
    assert await store.queue.is_cancel_requested(job_id)
    assert await store.queue.finish(job_id, path=tmp_path / "f") is None
    assert not await store.queue.fail(job_id, code="x", message="y")
    assert await store.queue.add_checkpoint(job_id, step=1, path=tmp_path / "c", metrics={}) is None
    assert (await find(store, job_id)).status is JobStatus.CANCELLED
    with pytest.raises(UserError, match=f"Job has already completed: {job_id}"):
        await store.jobs.cancel(DEFAULT_PROJECT, job_id)


async def test_a_failed_job_says_why(store: Store, submit: Callable) -> None:
    job_id = await submit()
    await store.queue.claim(await store.workers.register(device="cpu"))
    assert await store.queue.fail(job_id, code="tool_unreachable", message="The tool did not answer.", param="tools")
    job = await find(store, job_id)
    assert job.error == {"code": "tool_unreachable", "message": "The tool did not answer.", "param": "tools"}
    assert (await messages(store, job_id))[-1] == "The tool did not answer."


async def test_a_job_whose_model_has_gone_fails_and_the_next_is_claimed(store: Store, submit: Callable) -> None:
    lost = await submit(base_model="ft:gone")
    kept = await submit()
    claim = await store.queue.claim(await store.workers.register(device="cpu"))
    assert claim is not None
    assert claim.job.id == kept
    assert (await find(store, lost)).error["code"] == "model_not_found"


async def test_progress_keeps_the_latest_row(store: Store, submit: Callable) -> None:
    job_id = await submit()
    await store.queue.claim(await store.workers.register(device="cpu"))
    for done in (1, 2):
        await store.queue.set_progress(job_id, phase="sampling", step=1, done=done, expected=64)
    progress = (await find(store, job_id)).progress
    assert (progress["phase"], progress["step"], progress["done"], progress["expected"]) == ("sampling", 1, 2, 64)
