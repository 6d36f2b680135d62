"""A shard on a thread of this process: for serving, for tests, and where processes cannot be had.

Two such threads share Python's lock and gain little over one; processes do not (worker/replica.py).
"""

import asyncio
import threading
from collections.abc import Callable

from agentrft.domain.training import Weights
from agentrft.modeling.network import flush_denormals
from agentrft.ports import SampleRequest
from agentrft.sampling.embedded import Deliver, Fail
from agentrft.sampling.model import SamplerModel
from agentrft.sampling.runner import ShardRunner
from agentrft.sampling.shard import Shard

Loader = Callable[[Weights], SamplerModel]
"""Reads published weights; runs in a thread of its own."""


class ThreadShard:
    """Implements ShardHandle.

    Args:
        model: the weights to begin with.
        load_model: reads published weights.
        slots: live sessions; more wait in the queue.
    """

    def __init__(self, model: SamplerModel, load_model: Loader, slots: int) -> None:
        self._runner = ShardRunner(Shard(model, slots))
        self._load_model = load_model
        self._on_failure: Fail = lambda error: None
        self._thread = threading.Thread(target=self._run, name="sampler", daemon=True)

    async def start(self, on_failure: Fail) -> None:
        """See ShardHandle."""
        self._on_failure = on_failure
        self._thread.start()

    def submit(self, ticket: int, request: SampleRequest, deliver: Deliver) -> None:
        """See ShardHandle."""
        self._runner.post(lambda: self._runner.submit(ticket, request, deliver))

    def cancel(self, ticket: int) -> None:
        """See ShardHandle."""
        self._runner.post(lambda: self._runner.cancel(ticket))

    def release(self, session: str) -> None:
        """See ShardHandle."""
        self._runner.post(lambda: self._runner.shard.release(session))

    async def load(self, weights: Weights) -> None:
        """See ShardHandle."""
        model = await asyncio.to_thread(self._load_model, weights)
        self._runner.post(lambda: self._runner.shard.load(model))

    async def stop(self) -> None:
        """See ShardHandle."""
        self._runner.post(None)
        await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        flush_denormals()
        try:
            self._runner.run()
        except BaseException as error:  # noqa: BLE001  the border of the thread: whoever waits is told
            self._on_failure(error)
