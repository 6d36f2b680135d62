"""The `Sampler` port on this machine: shards, each with a thread or a process of its own, fed from asyncio."""

import asyncio
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Protocol

from agentrft.domain.episode import Completion
from agentrft.domain.training import Weights
from agentrft.ports import SampleRequest

Deliver = Callable[[Completion], None]
Fail = Callable[[BaseException], None]


class ShardHandle(Protocol):
    """A shard seen from the event loop. No method blocks; callbacks come on any thread."""

    async def start(self, on_failure: Fail) -> None:
        """Get ready. `on_failure` is called when the shard dies."""

    def submit(self, ticket: int, request: SampleRequest, deliver: Deliver) -> None: ...

    def cancel(self, ticket: int) -> None: ...

    def release(self, session: str) -> None: ...

    async def load(self, weights: Weights) -> None: ...

    async def stop(self) -> None: ...


class EmbeddedSampler:
    """An asynchronous context manager that implements ports.Sampler."""

    def __init__(self, shards: Sequence[ShardHandle]) -> None:
        self._shards = shards
        self._sessions: list[set[str]] = [set() for _ in shards]
        self._home: dict[str, int] = {}
        self._waiting: set[asyncio.Future[Completion]] = set()
        self._failure: BaseException | None = None
        self._tickets = 0

    async def __aenter__(self) -> "EmbeddedSampler":
        loop = asyncio.get_running_loop()

        def fail(error: BaseException) -> None:
            loop.call_soon_threadsafe(self._fail, error)

        await asyncio.gather(*(shard.start(fail) for shard in self._shards))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.gather(*(shard.stop() for shard in self._shards))

    async def sample(self, request: SampleRequest) -> Completion:
        """One turn. Cancelling the await stops it."""
        if self._failure is not None:
            raise RuntimeError("a shard of the sampler has died") from self._failure
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Completion] = loop.create_future()

        def settle(completion: Completion) -> None:
            if not future.done():
                future.set_result(completion)

        def deliver(completion: Completion) -> None:
            loop.call_soon_threadsafe(settle, completion)

        self._tickets += 1
        ticket, shard = self._tickets, self._assign(request.session)
        shard.submit(ticket, request, deliver)
        self._waiting.add(future)
        try:
            return await future
        finally:
            self._waiting.discard(future)
            if future.cancelled():
                shard.cancel(ticket)

    async def release(self, session: str) -> None:
        """See ports.Sampler."""
        index = self._home.pop(session, None)
        if index is not None:
            self._sessions[index].discard(session)
            self._shards[index].release(session)

    async def load(self, weights: Weights) -> None:
        """See ports.Sampler. Takes effect in every shard between two of its steps."""
        await asyncio.gather(*(shard.load(weights) for shard in self._shards))

    def _assign(self, session: str) -> ShardHandle:
        """A session stays where it began; a new one goes where there are fewest."""
        index = self._home.get(session)
        if index is None:
            index = min(range(len(self._shards)), key=lambda i: len(self._sessions[i]))
            self._home[session] = index
            self._sessions[index].add(session)
        return self._shards[index]

    def _fail(self, error: BaseException) -> None:
        self._failure = error
        for future in list(self._waiting):
            if not future.done():
                future.set_exception(RuntimeError(f"a shard of the sampler has died: {error}"))
