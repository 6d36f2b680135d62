"""All alarms of a job and which of them are on, so that each speaks once and not after every step."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from agentrft.analysis.alert import Alarm, Alert, Severity
from agentrft.analysis.behaviour_alarms import BEHAVIOUR_ALARMS
from agentrft.analysis.history import History, Observation
from agentrft.analysis.reward_alarms import REWARD_ALARMS, monitor_alarms
from agentrft.analysis.training_alarms import TRAINING_ALARMS

ALARMS: tuple[Alarm, ...] = (*REWARD_ALARMS, *BEHAVIOUR_ALARMS, *TRAINING_ALARMS)
QUIET_CHECKS = 2  # in a row, before an alarm counts as off: one that flickers at its threshold speaks once


@dataclass(frozen=True, slots=True, kw_only=True)
class _On:
    severity: Severity
    quiet_checks: int = 0


class Watch:
    """Takes the steps of one job in their order. `monitors` are the names of its monitor graders."""

    def __init__(self, monitors: Sequence[str] = ()) -> None:
        self._alarms = (*ALARMS, *(alarm for name in monitors for alarm in monitor_alarms(name)))
        self._observations: list[Observation] = []
        self._on: dict[str, _On] = {}

    def observe(self, observation: Observation) -> list[tuple[str, Alert]]:
        """The alarms, by name, that this step turned on or made more serious."""
        history = History([*self._observations, observation])
        asked = [alarm for alarm in self._alarms if all(name in observation.metrics for name in alarm.needs)]
        found = [(alarm.name, alarm.check(history)) for alarm in asked]
        self._observations.append(observation.without_episodes())
        return [(name, alert) for name, alert in found if self._is_news(name, alert) and alert is not None]

    def replay(self, rows: Iterable[tuple[int, Mapping[str, float]]]) -> None:
        """The steps of a worker that died: what they turned on has been said."""
        for step, metrics in rows:
            self.observe(Observation(step=step, metrics=metrics))

    def _is_news(self, name: str, alert: Alert | None) -> bool:
        before = self._on.get(name)
        if alert is not None:
            known = before is not None and before.severity in (alert.severity, Severity.SERIOUS)
            self._on[name] = _On(severity=before.severity if before is not None and known else alert.severity)
            return not known
        if before is not None:
            quiet = replace(before, quiet_checks=before.quiet_checks + 1)
            if quiet.quiet_checks < QUIET_CHECKS:
                self._on[name] = quiet
            else:
                del self._on[name]
        return False
