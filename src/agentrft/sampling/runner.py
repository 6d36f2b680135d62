"""Running a shard: commands between steps, one after the other. The body of a shard's thread or process."""

import queue
import random
from collections.abc import Callable

from agentrft.domain.episode import Completion
from agentrft.ports import SampleRequest
from agentrft.sampling.session import Draft
from agentrft.sampling.shard import Shard

GATHER_S = 0.003  # wait this long for more requests when an idle shard gets its first

Command = Callable[[], None]


class ShardRunner:
    """A shard and its inbox. `post` may be called from any thread; everything else is the runner's own."""

    def __init__(self, shard: Shard) -> None:
        self.shard = shard
        self._inbox: queue.SimpleQueue[Command | None] = queue.SimpleQueue()
        self._drafts: dict[int, Draft] = {}

    def post(self, command: Command | None) -> None:
        """Run `command` between two steps; None ends the runner."""
        self._inbox.put(command)

    def run(self) -> None:
        """Work until told to end."""
        while self._obey():
            if self.shard.busy:
                self.shard.step()

    def submit(self, ticket: int, request: SampleRequest, deliver: Callable[[Completion], None]) -> None:
        """Begin a turn. A command's body: call it on the runner's thread."""

        def done(completion: Completion) -> None:
            self._drafts.pop(ticket, None)
            deliver(completion)

        draft = Draft(request=request, deliver=done, source=random.Random(request.seed))
        self._drafts[ticket] = draft
        self.shard.submit(draft)

    def cancel(self, ticket: int) -> None:
        """Stop a turn that nobody waits for any more. A command's body."""
        draft = self._drafts.pop(ticket, None)
        if draft is not None:
            self.shard.cancel(draft)

    def _obey(self) -> bool:
        """Run the waiting commands; when idle, wait for one. False: the end."""
        patience: float | None = 0.0 if self.shard.busy else None
        while True:
            try:
                command = self._inbox.get_nowait() if patience == 0.0 else self._inbox.get(timeout=patience)
            except queue.Empty:
                return True
            if command is None:
                return False
            command()
            patience = 0.0 if patience == 0.0 else GATHER_S
