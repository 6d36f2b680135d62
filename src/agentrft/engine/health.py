"""How the user's tools and graders have been doing: the last calls of each, read off the episodes as they end.

Every tool has a window of its own: one that is rarely called and always fails would drown in the calls of the others,
and the episodes that need it would be missing from the loss all the same.
"""

from collections import defaultdict, deque
from dataclasses import dataclass

from agentrft.domain.episode import GradedEpisode
from agentrft.domain.faults import Fault, FaultOwner, JobFate
from agentrft.domain.job import FaultLimits
from agentrft.ports import CallContext

_GRADER = (FaultOwner.GRADER_ENDPOINT, "")  # a job has one grader, whatever its parts are called


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """An attempt that an endpoint failed: what a probe tries again."""

    episode: GradedEpisode
    fault: Fault
    at: CallContext  # of the attempt, or of another one of its group


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """A tool or grader that fails too often."""

    faults: int
    calls: int
    last: Failed

    @property
    def name(self) -> str:
        fault = self.last.fault
        return f"the {'tool' if fault.owner is FaultOwner.TOOL_ENDPOINT else 'grader'} {fault.where}"

    @property
    def told(self) -> str:
        return f"{self.name} failed {self.faults} of the last {self.calls} calls: {self.last.fault.message}"


class Health:
    """The windows of all endpoints of a job."""

    def __init__(self, limits: FaultLimits) -> None:
        self._limits = limits
        self._failed: defaultdict[tuple[FaultOwner, str], deque[bool]] = defaultdict(
            lambda: deque(maxlen=limits.window)
        )
        self._last: dict[tuple[FaultOwner, str], Failed] = {}

    def record(self, graded: GradedEpisode, *, at: CallContext) -> None:
        """Count what an attempt that is over says: a call for each reply, a grade, or a fault."""
        for turn in graded.episode.turns:
            for result in turn.results:
                if result.sent:
                    self._failed[FaultOwner.TOOL_ENDPOINT, result.name].append(False)
        if graded.valid:
            self._failed[_GRADER].append(False)
        fault = graded.fault
        if fault is not None and fault.treatment.job is JobFate.PAUSES:
            border = _border(fault)
            self._failed[border].append(True)
            self._last[border] = Failed(episode=graded, fault=fault, at=at)

    def trouble(self) -> Trouble | None:
        """An endpoint that is over its limit, if there is one."""
        for border, last in self._last.items():
            faults, calls = sum(self._failed[border]), len(self._failed[border])
            if faults >= self._limits.min_faults and faults > self._limit(border[0]) * calls:
                return Trouble(faults=faults, calls=calls, last=last)
        return None

    def forget(self, trouble: Trouble) -> None:
        """The endpoint answers again: what it did before counts no more."""
        border = _border(trouble.last.fault)
        self._failed[border].clear()
        self._last.pop(border)

    def _limit(self, owner: FaultOwner) -> float:
        return self._limits.tool_limit if owner is FaultOwner.TOOL_ENDPOINT else self._limits.grader_limit


def _border(fault: Fault) -> tuple[FaultOwner, str]:
    return (fault.owner, fault.where) if fault.owner is FaultOwner.TOOL_ENDPOINT else _GRADER
