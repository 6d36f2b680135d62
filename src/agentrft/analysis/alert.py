"""What an alarm says, and what an alarm is."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from agentrft.analysis.history import History
from agentrft.domain.episode import GradedEpisode

SHOWN = 10  # episodes with an alert


class Severity(StrEnum):
    WARN = "warn"  # look when you have the time
    SERIOUS = "serious"  # do not trust the model before you have looked


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """An alarm that is on. `message` says what is seen and what to do; `trace_ids` are the episodes that show it."""

    message: str
    numbers: Mapping[str, float]
    trace_ids: tuple[str, ...] = ()
    severity: Severity = Severity.WARN


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """`check` is asked after each step whose metrics have all of `needs`; what it said before holds until then."""

    name: str
    check: Callable[[History], Alert | None]
    needs: tuple[str, ...] = ()


def traces(graded: Sequence[GradedEpisode]) -> tuple[str, ...]:
    """The ids of the first few."""
    return tuple(each.episode.trace_id for each in graded[:SHOWN])
