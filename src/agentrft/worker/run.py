"""One job from claim to final model: load, settle, wire the ports, run, finish. Every way to fail ends in a reason."""

import asyncio
import logging
import traceback
from pathlib import Path

from safetensors import SafetensorError

from agentrft.datasets import load_demonstrations
from agentrft.domain.errors import JobFailed, UserError
from agentrft.domain.job import Method
from agentrft.domain.training import Checkpoint
from agentrft.engine.loop import reinforce
from agentrft.engine.supervised import supervise
from agentrft.store import Store
from agentrft.store.queue import Claim
from agentrft.worker.crash import explain_crash
from agentrft.worker.engine import Engine, open_engine
from agentrft.worker.journal import StoreJournal
from agentrft.worker.models import ModelLoader
from agentrft.worker.resume import ResumePoint, read_resume_point
from agentrft.worker.settle import Facts, settle, settled_hyperparameters
from agentrft.worker.work import Work
from agentrft.worker.world import open_scene

log = logging.getLogger(__name__)
CANCEL_POLL_S = 1.0


async def run_claim(claim: Claim, *, store: Store, loader: ModelLoader, worker_id: str) -> None:
    """Run a claimed job to its end, or until somebody cancels it. Never raises for what goes wrong in the job."""
    job_id = claim.job.id
    task = asyncio.create_task(_run(claim, store, loader))

    async def fail(*, code: str, message: str, param: str | None = None) -> None:
        if await store.queue.is_cancel_requested(job_id, worker_id=worker_id):
            log.warning("job %s is another worker's by now; here it failed with: %s", job_id, message)
        else:
            await store.queue.fail(job_id, code=code, message=message, param=param)

    try:
        await _until_cancelled(task, store, job_id, worker_id)
    except JobFailed as error:
        await fail(code=error.code, message=error.message, param=error.param)
    except UserError as error:
        await fail(code=error.code or "invalid_request", message=error.message, param=error.param)
    except asyncio.CancelledError:
        if asyncio.current_task() is not None and asyncio.current_task().cancelling():  # type: ignore[union-attr]
            raise
        log.info("job %s was cancelled", job_id)
    except Exception as error:  # noqa: BLE001  the border of a job: our own bug ends it, not the worker
        log.error("job %s failed\n%s", job_id, traceback.format_exc())
        failure = explain_crash(error)
        await fail(code=failure.code, message=failure.message)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _until_cancelled(task: asyncio.Task[None], store: Store, job_id: str, worker_id: str) -> None:
    while not task.done():
        await asyncio.wait([task], timeout=CANCEL_POLL_S)
        if not task.done() and await store.queue.is_cancel_requested(job_id, worker_id=worker_id):
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
    await task


async def _run(claim: Claim, store: Store, loader: ModelLoader) -> None:
    loaded = await loader.load(claim.model)
    facts = Facts(
        training_rows=await asyncio.to_thread(_count_rows, claim.training_path),
        validation_rows=await asyncio.to_thread(_count_rows, claim.validation_path) if claim.validation_path else 0,
        max_context_tokens=loaded.shapes.config.max_positions,
        model_lora=loaded.adapters.lora if loaded.adapters else None,
    )
    job = settle(claim, facts)
    asked = claim.request[job.method.value].get("hyperparameters") or {}
    await store.queue.set_hyperparameters(job.id, settled_hyperparameters(job, asked, facts))
    await store.queue.set_progress(job.id, phase="starting", step=0, done=0, expected=1)
    journal = StoreJournal(store, job)
    async with open_engine(job, loaded, loader, store.settings.data_dir / "models" / job.id) as engine:
        point = await _take_over(engine, journal) if claim.resumed else None
        work = Work(store=store, claim=claim, job=job, loaded=loaded, engine=engine, journal=journal, point=point)
        last = await (_reinforce(work) if job.method is Method.REINFORCEMENT else _supervise(work))
    await journal.add_result_file()
    await store.queue.finish(job.id, path=Path(last.path))


async def _take_over(engine: Engine, journal: StoreJournal) -> ResumePoint | None:
    """Put the engine where the last worker's last checkpoint was; None where there is none to go on from."""
    point = await asyncio.to_thread(read_resume_point, journal.folder)
    if point is not None:
        try:
            await engine.trainer.restore(point.checkpoint)
        except (OSError, ValueError, KeyError, SafetensorError) as error:
            log.error("checkpoint %s cannot be read\n%s", point.checkpoint.path, traceback.format_exc())
            name = type(error).__name__
            await journal.warn(f"The checkpoint of step {point.checkpoint.step} is damaged ({name}): starting over.")
            point = None
    await asyncio.to_thread(journal.go_on, point)
    return point


async def _reinforce(work: Work) -> Checkpoint:
    rules = work.job.reinforcement
    if rules is None:
        raise ValueError(f"job {work.job.id} is no reinforcement job")
    async with open_scene(work, rules) as scene:
        return await reinforce(
            work.job,
            scene.world,
            order=work.order(scene.training),
            validation=scene.validation,
            journal=scene.journal,
            resume=work.resume,
        )


async def _supervise(work: Work) -> Checkpoint:
    shown = await asyncio.to_thread(load_demonstrations, work.claim.training_path)
    return await supervise(
        work.job,
        work.engine.trainer,
        work.loaded.chat,
        demonstrations=shown,
        order=work.order(shown),
        journal=work.journal,
        resume=work.resume,
    )


def _count_rows(path: Path) -> int:
    with path.open("rb") as file:
        return sum(1 for line in file if line.strip())
