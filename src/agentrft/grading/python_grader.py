"""python: the user's grade(sample, item), run in the sandbox (API reference, section 3.4).

What the user's code does wrong is a grade of 0 with a flag, as documented; a sandbox that fails is our fault and no
grade at all.
"""

from agentrft.domain.faults import Fault, FaultKind, FaultOwner
from agentrft.grading.sandbox import SandboxBroken, SandboxLimits, SandboxPool
from agentrft.grading.scoring import Flag, Score, Subject
from agentrft.wire.graders import PythonGrader


class PythonScorer:
    """Runs the source in warm subprocesses.

    Args:
        processes: how many calls run at once; by default one per CPU, at most 4.
    """

    def __init__(
        self, spec: PythonGrader, *, processes: int | None = None, limits: SandboxLimits | None = None
    ) -> None:
        self._name = spec.name
        self._pool = SandboxPool(spec.source, size=processes, limits=limits)

    async def open(self) -> None:
        """Processes start with the first calls."""

    async def close(self) -> None:
        await self._pool.close()

    async def score(self, subject: Subject) -> Score | Fault:
        try:
            result = await self._pool.run(subject.sample, subject.item)
        except SandboxBroken as error:
            return Fault(
                owner=FaultOwner.PLATFORM,
                kind=FaultKind.INTERNAL,
                where=self._name,
                message=f"the sandbox for python graders failed: {error}",
                attempts=2,
            )
        if result.reward is None:
            return Score(reward=0.0, errors={Flag.PYTHON_RUNTIME: result.error or "no result"})
        return Score(reward=result.reward)
