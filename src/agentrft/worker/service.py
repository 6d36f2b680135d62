"""The worker process: one job at a time, heartbeats, and models served meanwhile."""

import asyncio
import contextlib
import logging
import secrets
import signal
import socket

import uvicorn

from agentrft.grading.sandbox import SandboxBroken, probe_sandbox
from agentrft.store import Settings, Store, open_store
from agentrft.worker.models import ModelLoader
from agentrft.worker.run import run_claim
from agentrft.worker.serving import Serving, create_serving_app

log = logging.getLogger(__name__)
HEARTBEAT_S = 5.0
POLL_S = 0.5


async def run_worker(settings: Settings) -> None:
    """Work until SIGTERM or SIGINT; the job in hand is then left to the next worker."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await tell_isolation()
    async with open_store(settings) as store:
        loader = ModelLoader(settings.data_dir / "models" / "converted")
        serving = Serving(store, loader)
        token = secrets.token_urlsafe(32)
        listener = socket.create_server(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        server = _Server(uvicorn.Config(create_serving_app(store, serving, token), log_level="warning"))
        worker_id = await store.workers.register(device="cpu", url=url, token=token)
        log.info("worker %s serves on %s", worker_id, url)
        tasks = [
            asyncio.create_task(server.serve(sockets=[listener])),
            asyncio.create_task(_beat(store, worker_id)),
            asyncio.create_task(_work(store, loader, worker_id)),
        ]
        try:
            stopping = asyncio.create_task(stop.wait())
            await asyncio.wait([*tasks, stopping], return_when=asyncio.FIRST_COMPLETED)
            stopping.cancel()
        finally:
            server.should_exit = True
            for task in tasks[1:]:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await serving.close()
            await store.workers.remove(worker_id)
        for task in tasks:
            if not task.cancelled() and task.exception() is not None:
                raise RuntimeError("the worker cannot go on") from task.exception()


async def tell_isolation() -> None:
    """Say once what this kernel enforces for python graders."""
    try:
        statement = await probe_sandbox()
    except SandboxBroken as error:
        log.error("python graders cannot run here: %s", error)
        return
    for line in statement.lines():
        log.info("python graders: %s", line)
    if statement.warning is not None:
        log.warning(statement.warning)


class _Server(uvicorn.Server):
    """Signals are ours to handle, not uvicorn's."""

    @contextlib.contextmanager
    def capture_signals(self):  # type: ignore[no-untyped-def]
        yield


async def _beat(store: Store, worker_id: str) -> None:
    while True:
        await store.workers.heartbeat(worker_id)
        await asyncio.sleep(HEARTBEAT_S)


async def _work(store: Store, loader: ModelLoader, worker_id: str) -> None:
    while True:
        claim = await store.queue.claim(worker_id)
        if claim is None:
            await asyncio.sleep(POLL_S)
            continue
        log.info("job %s begins", claim.job.id)
        await run_claim(claim, store=store, loader=loader, worker_id=worker_id)
        log.info("job %s is over", claim.job.id)
