"""How the user's tools and graders have been doing: the last calls of each, read off the episodes as they end.

Every tool has a window of its own: one that is rarely called and always fails would drown in the calls of the others,
and the episodes that need it would be missing from the loss all the same.
"""

from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass

from agentrft.domain.episode import Episode, GradedEpisode
from agentrft.domain.faults import Fault, FaultOwner, JobFate
from agentrft.domain.job import FaultLimits
from agentrft.ports import CallContext

Border = tuple[FaultOwner, str]
GRADER: Border = (FaultOwner.GRADER_ENDPOINT, "")  # a job has one grader, whatever its parts are called
LIFECYCLE: Border = (FaultOwner.TOOL_ENDPOINT, "")  # no tool is called ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """An attempt that says something about a border, well or not: what a probe tries again."""

    border: Border
    episode: Episode
    at: CallContext  # of the attempt, or of another one of its group
    peers: tuple[Episode, ...] = ()  # the attempts that were to be graded against each other


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """A border that fails too often."""

    faults: int
    calls: int
    fault: Fault  # the last
    last: Seen  # where that happened

    @property
    def name(self) -> str:
        if self.last.border == LIFECYCLE:
            return "the lifecycle's URL"
        kind = "tool" if self.fault.owner is FaultOwner.TOOL_ENDPOINT else "grader"
        return f"the {kind} {self.fault.where}"

    @property
    def told(self) -> str:
        return f"{self.name} failed {self.faults} of the last {self.calls} calls: {self.fault.message}"

    @property
    def param(self) -> str:
        """What in the job's request names it."""
        owners = {LIFECYCLE: "agentrft.lifecycle", GRADER: "grader"}
        return f"method.reinforcement.{owners.get(self.last.border, 'tools')}"


class Health:
    """The windows of all borders of a job."""

    def __init__(self, limits: FaultLimits) -> None:
        self._limits = limits
        self._failed: defaultdict[Border, deque[bool]] = defaultdict(lambda: deque(maxlen=limits.window))
        self._last: dict[Border, tuple[Fault, Seen]] = {}
        self._good: dict[Border, Seen] = {}

    def record(
        self,
        graded: GradedEpisode,
        *,
        at: CallContext,
        begun: bool | None = None,
        judged: bool = True,
        peers: Sequence[Episode] = (),
    ) -> None:
        """Count what an attempt that is over says: a call for each reply, a grade, or a fault.

        Args:
            begun: whether the lifecycle's URL let it begin; None: there is none.
            judged: whether its grade, or the lack of one, is to be counted: one ruling over a group counts once.
            peers: the attempts that were graded against each other.
        """

        def seen(border: Border) -> Seen:
            return Seen(border=border, episode=graded.episode, at=at, peers=tuple(peers))

        answered = [result for turn in graded.episode.turns for result in turn.results if result.sent]
        well = [(FaultOwner.TOOL_ENDPOINT, result.name) for result in answered]
        well += [LIFECYCLE] if begun else []
        well += [GRADER] if judged and graded.valid else []
        for border in well:
            self._failed[border].append(False)
            self._good[border] = seen(border)
        failed = _failed_border(graded, begun=begun, judged=judged)
        if failed is not None and graded.fault is not None:
            self._failed[failed].append(True)
            self._last[failed] = graded.fault, seen(failed)

    def trouble(self) -> Trouble | None:
        """A border that is over its limit, if there is one."""
        for border, (fault, last) in self._last.items():
            faults, calls = sum(self._failed[border]), len(self._failed[border])
            if faults >= self._limits.min_faults and faults > self._limit(border) * calls:
                return Trouble(faults=faults, calls=calls, fault=fault, last=last)
        return None

    def good(self, border: Border) -> Seen | None:
        """The last attempt for which it went well there."""
        return self._good.get(border)

    def forget(self, trouble: Trouble) -> None:
        """The endpoint answers again: what it did before counts no more."""
        self._failed[trouble.last.border].clear()
        self._last.pop(trouble.last.border)

    def _limit(self, border: Border) -> float:
        return self._limits.grader_limit if border == GRADER else self._limits.tool_limit


def _failed_border(graded: GradedEpisode, *, begun: bool | None, judged: bool) -> Border | None:
    fault = graded.fault
    if fault is None or fault.treatment.job is not JobFate.PAUSES:
        return None
    if fault.owner is not FaultOwner.TOOL_ENDPOINT:
        return GRADER if judged else None
    if graded.episode.fault is None:
        return None  # the last of a group, which could not be compared: it shares a fault that was counted already
    return LIFECYCLE if begun is False else (fault.owner, fault.where)
