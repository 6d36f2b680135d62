"""A core's share of the embedded engine: one process that samples with a shard and computes gradients.

Threads of one process share Python's lock, and threads of one torch operation wait for each other at every operation. A
process per core with one thread each does neither: it nearly doubles both sampling and training on two cores, and stays
fast when something else takes a core now and then (docs/decisions/0004-a-process-per-core.md).

Parent and child talk over a pipe: requests and trees in; completions and sums of gradients out. Weights go by folder.
"""

import asyncio
import itertools
import multiprocessing
import threading
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

from agentrft.domain.episode import Completion
from agentrft.domain.training import LoraConfig, UpdateSettings, Weights
from agentrft.modeling.adapters import new_adapters
from agentrft.modeling.folders import read_weights
from agentrft.modeling.network import flush_denormals
from agentrft.modeling.weights import load_weights
from agentrft.ports import SampleRequest
from agentrft.sampling.embedded import Deliver, Fail
from agentrft.sampling.model import build_model
from agentrft.sampling.runner import ShardRunner
from agentrft.sampling.shard import Shard
from agentrft.training.gradients import BatchTotals, LocalPasses, PassSums, Stopped
from agentrft.training.policy import LoraPolicy
from agentrft.training.tree import Tree
from agentrft.worker.device import release_memory

WATCH_S = 0.2
STOP_S = 10.0  # how long a child may take to end before it is killed


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaPlan:
    """What a child starts from."""

    base_folder: Path
    slots: int


class Replica:
    """The parent's side of one child. Implements ShardHandle; `backward` is for ReplicaPasses."""

    def __init__(self, plan: ReplicaPlan) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_child, args=(theirs, plan), daemon=True, name="agentrft-replica")
        self._theirs = theirs
        self._reader = threading.Thread(target=self._read, daemon=True, name="replica-reader")
        self._sending = threading.Lock()
        self._numbers = itertools.count(1)
        self._deliver: dict[int, Deliver] = {}
        self._answers: dict[int, Future[Any]] = {}
        self._on_failure: Fail = lambda error: None
        self._version = -1
        self._stopping = False

    async def start(self, on_failure: Fail) -> None:
        """See ShardHandle."""
        self._on_failure = on_failure
        await asyncio.to_thread(self.launch)

    def launch(self) -> None:
        """Start the child, unless it runs."""
        if not self._reader.is_alive():
            self._process.start()
            self._theirs.close()
            self._reader.start()

    def submit(self, ticket: int, request: SampleRequest, deliver: Deliver) -> None:
        """See ShardHandle."""
        self._deliver[ticket] = deliver
        self._send("submit", ticket, request)

    def cancel(self, ticket: int) -> None:
        """See ShardHandle."""
        if self._deliver.pop(ticket, None) is not None:
            self._send("cancel", ticket)

    def release(self, session: str) -> None:
        """See ShardHandle."""
        self._send("release", session)

    async def load(self, weights: Weights) -> None:
        """See ShardHandle."""
        await asyncio.wrap_future(self.begin_load(weights))

    async def stop(self) -> None:
        """See ShardHandle. The child may go on training: `close` ends it."""

    def begin_load(self, weights: Weights) -> Future[Any]:
        """Have the child read published weights, unless it has them."""
        if self._version == weights.version:
            done: Future[Any] = Future()
            done.set_result(None)
            return done
        self._version = weights.version
        return self._ask("load", weights)

    def backward(self, trees: Sequence[Tree], settings: UpdateSettings, totals: BatchTotals) -> Future[PassSums]:
        """Passes over `trees` with the weights that were loaded last."""
        return self._ask("backward", trees, settings, totals)

    def interrupt(self) -> None:
        """Stop the passes in hand at the next tree."""
        self._send("interrupt")

    def close(self) -> None:
        """End the child."""
        self._stopping = True
        if self._process.pid is None:
            return
        self._send("end")
        self._process.join(STOP_S)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        self._pipe.close()

    def _ask(self, kind: str, *content: object) -> Future[Any]:
        number: int = next(self._numbers)
        answer: Future[Any] = Future()
        self._answers[number] = answer
        self._send(kind, number, *content)
        return answer

    def _send(self, kind: str, *content: object) -> None:
        try:
            with self._sending:
                self._pipe.send((kind, *content))
        except OSError as error:
            self._fail(error)

    def _read(self) -> None:
        try:
            while True:
                kind, number, content = self._pipe.recv()
                if kind == "completion":
                    deliver = self._deliver.pop(number, None)
                    if deliver is not None:
                        deliver(content)
                elif kind == "answer":
                    self._answers.pop(number, Future()).set_result(content)
                elif kind == "stopped":
                    self._answers.pop(number, Future()).set_exception(Stopped())
                else:
                    self._fail(RuntimeError(f"a process of the engine failed:\n{content}"))
        except (EOFError, OSError) as error:
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        if self._stopping:
            return
        reason = error if isinstance(error, RuntimeError) else RuntimeError(f"a process of the engine ended: {error!r}")
        for answer in list(self._answers.values()):
            if not answer.done():
                answer.set_exception(reason)
        self._answers.clear()
        self._on_failure(reason)


class ReplicaPasses:
    """Implements training.gradients.Passes over replicas."""

    def __init__(self, replicas: Sequence[Replica]) -> None:
        self._replicas = replicas

    @property
    def width(self) -> int:
        """See Passes."""
        return len(self._replicas)

    def run(
        self,
        trees: Sequence[Tree],
        settings: UpdateSettings,
        totals: BatchTotals,
        *,
        weights: Callable[[], Weights],
        stop: threading.Event,
    ) -> PassSums:
        """See Passes. The longest trees are dealt out first, each to whoever has least."""
        shares: list[list[Tree]] = [[] for _ in self._replicas]
        for tree in trees:
            min(shares, key=lambda share: sum(tree.fresh for tree in share)).append(tree)
        busy = [(replica, share) for replica, share in zip(self._replicas, shares, strict=True) if share]
        current = weights()
        for loading in [replica.begin_load(current) for replica, _ in busy]:
            loading.result()
        answers = [replica.backward(share, settings, totals) for replica, share in busy]
        watcher = threading.Thread(target=self._watch, args=(stop, answers), daemon=True)
        watcher.start()
        result = PassSums()
        for answer in answers:
            result.add(answer.result())
        return result

    def _watch(self, stop: threading.Event, answers: Sequence[Future[PassSums]]) -> None:
        while not all(answer.done() for answer in answers):
            if stop.wait(timeout=WATCH_S):
                for replica in self._replicas:  # again and again: a pass that has yet to begin clears an early one
                    replica.interrupt()
                wait(answers, timeout=WATCH_S)


def _child(pipe: Connection, plan: ReplicaPlan) -> None:
    """The child's main: a reader thread turns messages into commands for the shard's runner."""
    torch.set_num_threads(1)
    flush_denormals()
    try:
        worker = _Child(pipe, plan)
        threading.Thread(target=worker.read, daemon=True).start()
        worker.runner.run()
    except BaseException:  # noqa: BLE001  the border of the process: the parent is told
        pipe.send(("failure", 0, traceback.format_exc()))


class _Child:
    def __init__(self, pipe: Connection, plan: ReplicaPlan) -> None:
        self._pipe = pipe
        self._base = load_weights(plan.base_folder)
        self._policy: LoraPolicy | None = None
        self._unread: int | None = None  # version of the policy, while it is not laid out for sampling
        self._version = -1
        self._trained = False  # since the last turn was sampled
        self._stop = threading.Event()
        self.runner = ShardRunner(Shard(None, plan.slots))

    def read(self) -> None:
        """Messages to commands, until the parent is gone."""
        while True:
            try:
                kind, *content = self._pipe.recv()
            except (EOFError, OSError):
                self.runner.post(None)
                return
            if kind == "end":
                self._stop.set()
                self.runner.post(None)
            elif kind == "interrupt":
                self._stop.set()
            else:
                self.runner.post(lambda kind=kind, content=content: getattr(self, f"_{kind}")(*content))  # type: ignore[misc]

    def _submit(self, ticket: int, request: SampleRequest) -> None:
        if self._trained:
            release_memory()  # activations make room for keys and values
            self._trained = False
        if self._unread is not None and self._policy is not None:
            self.runner.shard.load(build_model(self._policy.merged_weights(), None, self._unread))
            self._unread = None

        def deliver(completion: Completion) -> None:
            self._pipe.send(("completion", ticket, completion))

        self.runner.submit(ticket, request, deliver)

    def _cancel(self, ticket: int) -> None:
        self.runner.cancel(ticket)

    def _release(self, session: str) -> None:
        self.runner.shard.release(session)

    def _load(self, number: int, weights: Weights) -> None:
        base, adapters = read_weights(Path(weights.location), self._base)
        self._policy = LoraPolicy(base, adapters or new_adapters(base, LoraConfig(rank=1), 0))
        self._unread = self._version = weights.version
        self._pipe.send(("answer", number, None))

    def _backward(self, number: int, trees: Sequence[Tree], settings: UpdateSettings, totals: BatchTotals) -> None:
        self._stop.clear()
        if self._policy is None:
            raise RuntimeError("gradients were asked for before weights were loaded")
        if not self.runner.shard.busy:
            self.runner.shard.load(None)  # laid out for sampling they are of no use now
            self._unread = self._version
        if not self._trained:
            release_memory()  # what sampling needed makes room for activations
        passes = LocalPasses(self._policy)
        try:
            done = passes.run(trees, settings, totals, weights=_never, stop=self._stop)
        except Stopped:
            self._pipe.send(("stopped", number, None))
            return
        self._pipe.send(("answer", number, done))
        self._trained = True


def _never() -> Weights:
    raise RuntimeError("a replica publishes nothing")
