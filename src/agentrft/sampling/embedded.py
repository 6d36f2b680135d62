"""The `Sampler` port on this machine: one shard per thread, fed from asyncio.

Two threads of torch on one small batch wait for each other more than they work; two shards with a thread each nearly
double the throughput (docs/decisions/0004-threads.md).
"""

import asyncio
import queue
import random
import threading
from collections.abc import Callable
from functools import partial
from types import TracebackType

from agentrft.domain.episode import Completion
from agentrft.domain.training import Weights
from agentrft.modeling.network import flush_denormals
from agentrft.ports import SampleRequest
from agentrft.sampling.model import SamplerModel
from agentrft.sampling.session import Draft
from agentrft.sampling.shard import Shard

GATHER_S = 0.003  # wait this long for more requests when an idle shard gets its first

Loader = Callable[[Weights], SamplerModel]
"""Reads published weights; runs in a thread of its own."""


class _ShardThread:
    """Runs one shard; everything that touches it is a command in its inbox."""

    def __init__(self, shard: Shard, name: str) -> None:
        self.shard = shard
        self.sessions: set[str] = set()  # owned by the event loop
        self._inbox: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._failure: BaseException | None = None
        self._on_failure: Callable[[BaseException], None] = lambda error: None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self, on_failure: Callable[[BaseException], None]) -> None:
        self._on_failure = on_failure
        self._thread.start()

    def post(self, command: Callable[[], None] | None) -> None:
        """Run `command` between two steps; None ends the thread."""
        self._inbox.put(command)

    def join(self) -> None:
        self._thread.join()

    def _run(self) -> None:
        flush_denormals()
        try:
            while self._obey():
                if self.shard.busy:
                    self.shard.step()
        except BaseException as error:  # noqa: BLE001  the border of the thread: its owner re-raises it
            self._on_failure(error)

    def _obey(self) -> bool:
        """Run the waiting commands; when idle, wait for one. False: the end."""
        wait = None if not self.shard.busy else 0.0
        while True:
            try:
                command = self._inbox.get(timeout=wait) if wait != 0.0 else self._inbox.get_nowait()
            except queue.Empty:
                return True
            if command is None:
                return False
            command()
            wait = GATHER_S if wait is None or wait == GATHER_S else 0.0


class EmbeddedSampler:
    """An asynchronous context manager that implements ports.Sampler.

    Args:
        model: the weights to begin with.
        load_model: reads published weights.
        threads: shards, one thread each; torch itself is kept to one thread per shard by its caller.
        max_sessions: live sessions in all shards together; more wait in the queue.
    """

    def __init__(self, model: SamplerModel, load_model: Loader, *, threads: int, max_sessions: int) -> None:
        self._load_model = load_model
        per_shard = max(1, -(-max_sessions // threads))
        self._threads = [_ShardThread(Shard(model, per_shard), f"sampler-{i}") for i in range(threads)]
        self._home: dict[str, _ShardThread] = {}
        self._waiting: set[asyncio.Future[Completion]] = set()
        self._failure: BaseException | None = None

    async def __aenter__(self) -> "EmbeddedSampler":
        loop = asyncio.get_running_loop()

        def fail(error: BaseException) -> None:
            loop.call_soon_threadsafe(self._fail, error)

        for thread in self._threads:
            thread.start(fail)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for thread in self._threads:
            thread.post(None)
            await asyncio.to_thread(thread.join)

    async def sample(self, request: SampleRequest) -> Completion:
        """One turn. Cancelling the await stops it."""
        if self._failure is not None:
            raise RuntimeError("the sampler's thread has died") from self._failure
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Completion] = loop.create_future()

        def settle(completion: Completion) -> None:
            if not future.done():
                future.set_result(completion)

        def deliver(completion: Completion) -> None:
            loop.call_soon_threadsafe(settle, completion)

        draft = Draft(request=request, deliver=deliver, source=random.Random(request.seed))
        thread = self._assign(request)
        thread.post(lambda: thread.shard.submit(draft))
        self._waiting.add(future)
        try:
            return await future
        finally:
            self._waiting.discard(future)
            if not future.done() or future.cancelled():
                thread.post(lambda: thread.shard.cancel(draft))

    async def release(self, session: str) -> None:
        """See ports.Sampler."""
        thread = self._home.pop(session, None)
        if thread is not None:
            thread.sessions.discard(session)
            thread.post(lambda: thread.shard.release(session))

    async def load(self, weights: Weights) -> None:
        """See ports.Sampler. Takes effect in every shard between two of its steps."""
        model = await asyncio.to_thread(self._load_model, weights)
        for thread in self._threads:
            thread.post(partial(thread.shard.load, model))

    def _assign(self, request: SampleRequest) -> _ShardThread:
        """The shard of a session; new sessions go where there is most room, in runs, so that attempts share a shard."""
        thread = self._home.get(request.session)
        if thread is None:
            thread = min(self._threads, key=lambda candidate: len(candidate.sessions))
            thread.sessions.add(request.session)
            self._home[request.session] = thread
        return thread

    def _fail(self, error: BaseException) -> None:
        self._failure = error
        for future in list(self._waiting):
            if not future.done():
                future.set_exception(RuntimeError(f"the sampler's thread has died: {error!r}"))
