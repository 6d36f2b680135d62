"""One job from claim to final model: load, settle, wire the ports, run, finish. Every way to fail ends in a reason."""

import asyncio
import logging
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from safetensors import SafetensorError

from agentrft.datasets import ItemOrder, check_tools, load_demonstrations, load_items
from agentrft.domain.errors import JobFailed, UserError
from agentrft.domain.job import Job, Method
from agentrft.domain.training import Checkpoint
from agentrft.engine.loop import World, reinforce
from agentrft.engine.supervised import supervise
from agentrft.grading import SpecGrader, make_grader
from agentrft.store import Store
from agentrft.store.queue import Claim
from agentrft.tools import HttpTools
from agentrft.worker.engine import Engine, open_engine
from agentrft.worker.guard import open_guard
from agentrft.worker.journal import StoreJournal
from agentrft.worker.models import LoadedModel, ModelLoader
from agentrft.worker.resume import ResumePoint, read_resume_point
from agentrft.worker.settle import Facts, settle, settled_hyperparameters

log = logging.getLogger(__name__)
Example = TypeVar("Example")
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
        message = f"The worker met an internal error ({type(error).__name__}). Its log has the details."
        await fail(code="internal_error", message=message)
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
        work = _Work(claim=claim, job=job, loaded=loaded, engine=engine, journal=journal, point=point)
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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Work:
    """A claimed job and what it is done with."""

    claim: Claim
    job: Job
    loaded: LoadedModel
    engine: Engine
    journal: StoreJournal
    point: ResumePoint | None  # to go on from

    @property
    def resume(self) -> Checkpoint | None:
        return self.point.checkpoint if self.point else None

    def order(self, examples: Sequence[Example]) -> ItemOrder[Example]:
        """Their order; the journal notes with every checkpoint where it stands."""
        order = ItemOrder(examples, seed=self.job.seed, state=self.point.order if self.point else None)
        self.journal.follow(lambda: order.state)
        return order


async def _reinforce(work: _Work) -> Checkpoint:
    claim, job, journal, rules = work.claim, work.job, work.journal, work.job.reinforcement
    if rules is None or claim.validation_path is None:
        raise ValueError(f"job {job.id} is no reinforcement job")
    training = await asyncio.to_thread(load_items, claim.training_path)
    validation = await asyncio.to_thread(load_items, claim.validation_path, param="validation_file")
    check_tools(training, [tool.name for tool in rules.tools])
    warnings: set[asyncio.Task[None]] = set()

    async def make(spec: Mapping[str, Any]) -> SpecGrader:
        return make_grader(spec, response_format=rules.response_format)

    async with (
        HttpTools(rules.tools, on_misconfigured=_warner(journal, warnings)) as tools,
        make_grader(rules.grader, response_format=rules.response_format) as grader,
        work.engine.sampler as sampler,
        open_guard(journal, rules, make, rows=work.point.rows if work.point else ()) as guard,
    ):
        world = World(sampler=sampler, chat=work.loaded.chat, tools=tools, grader=grader, trainer=work.engine.trainer)
        order = work.order(training)
        try:
            return await reinforce(job, world, order=order, validation=validation, journal=guard, resume=work.resume)
        finally:
            await asyncio.gather(*warnings)


async def _supervise(work: _Work) -> Checkpoint:
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


def _warner(journal: StoreJournal, warnings: set[asyncio.Task[None]]) -> Callable[[str, int], None]:
    def warn(tool: str, status: int) -> None:
        message = (
            f"The tool {tool!r} answers with HTTP status {status}. The model is shown that as the tool's reply, but it "
            "looks like a mistake in the job's headers or in the tool server. Check both."
        )
        task = asyncio.get_running_loop().create_task(journal.warn(message))
        warnings.add(task)
        task.add_done_callback(warnings.discard)

    return warn


def _count_rows(path: Path) -> int:
    with path.open("rb") as file:
        return sum(1 for line in file if line.strip())
