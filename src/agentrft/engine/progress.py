"""How far a phase of a step has come, told to the journal as episodes end."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from agentrft.domain.episode import GradedEpisode
from agentrft.ports import Journal

WAITING = "waiting"


class Progress:
    """Tells the journal what is finished and how far a phase of a step has come."""

    def __init__(self, journal: Journal, *, split: str, step: int, phase: str) -> None:
        self._journal = journal
        self._split = split
        self.step = step
        self._phase = phase
        self._done = 0
        self._expected = 0
        self._waiting = False

    async def expect(self, episodes: int) -> None:
        """So many more places are to be filled with an episode."""
        self._expected += episodes
        await self._report()

    async def played(self, graded: GradedEpisode) -> None:
        """One attempt is over, well or not."""
        await self._journal.episode(self._split, self.step, graded)

    async def settled(self) -> None:
        """One place is filled, or given up."""
        self._done += 1
        await self._report()

    @asynccontextmanager
    async def waiting(self) -> AsyncIterator[None]:
        """The phase is `waiting` meanwhile: no new attempt begins, live ones go on."""
        self._waiting = True
        try:
            await self._report()
            yield
        finally:
            self._waiting = False
        await self._report()

    async def _report(self) -> None:
        phase = WAITING if self._waiting else self._phase
        await self._journal.progress(self.step, phase, self._done, self._expected)
