"""The guard of a job: a `Journal` before the store's, which hears of every episode and step and warns when to look.

It adds its figures to a step's metrics, asks all alarms, and has the grader grade some of the baseline twice.
"""

import logging
import traceback
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import asdict
from typing import Any

from agentrft.analysis.alert import Alert
from agentrft.analysis.history import Observation
from agentrft.analysis.noise import Noise, compare_gradings, noise_message
from agentrft.analysis.signs import item_rewards, monitor_signs, signs
from agentrft.analysis.watch import Watch
from agentrft.domain.episode import GradedEpisode
from agentrft.domain.errors import UserError
from agentrft.domain.job import Reinforcement
from agentrft.domain.training import Checkpoint
from agentrft.engine.fanout import all_of
from agentrft.grading.batch import grade_all
from agentrft.grading.check import TWICE, rewards_by_trace
from agentrft.ports import Grader, Journal
from agentrft.worker.monitors import Found, Monitor

log = logging.getLogger(__name__)
RECHECK_DEADLINE_S = 120.0  # of the second grading of one episode
GROUP_GRADERS = ("ruler",)  # grade the attempts of a group against each other, and no single one again
TROUBLED_SHARE = 0.1  # of a monitor's gradings that fail, from which on the owner is told

Rows = Sequence[tuple[int, Mapping[str, float]]]


MakeGrader = Callable[[Mapping[str, Any]], Awaitable[AbstractAsyncContextManager[Grader]]]


@asynccontextmanager
async def open_guard(
    journal: Journal, rules: Reinforcement, make: MakeGrader, *, rows: Rows = ()
) -> AsyncIterator["Guard"]:
    """The guard of a job, its monitor graders at work until the end.

    Args:
        make: a new grader of the job, from its specification.
        rows: the steps and metrics of a worker that died.
    """
    async with AsyncExitStack() as stack:
        opened = [await _open_monitor(spec, make, stack, journal) for spec in rules.monitor_graders]
        monitors = [monitor for monitor in opened if monitor is not None]
        yield Guard(journal, rules, make=make, monitors=monitors, rows=rows)


async def _open_monitor(
    spec: Mapping[str, Any], make: MakeGrader, stack: AsyncExitStack, journal: Journal
) -> Monitor | None:
    """A monitor at work until the stack ends; None, and a warning, where it cannot be made."""
    name = spec["name"]
    try:
        grader = await stack.enter_async_context(await make(spec))
    except Exception as error:  # noqa: BLE001  a border: nothing that a monitor does may end the job
        log.error("monitor grader %s\n%s", name, traceback.format_exc())
        why = error.message if isinstance(error, UserError) else f"internal error ({type(error).__name__})."
        message = f"The monitor grader {name!r} cannot be made: {why} The job goes on without it."
        await journal.warn(message, data={"alarm": f"monitor_failed:{name}"})
        return None
    monitor = Monitor(name, grader)
    stack.push_async_callback(monitor.close)
    return monitor


class Guard:
    """`ports.Journal` that passes everything on to another."""

    def __init__(
        self,
        journal: Journal,
        rules: Reinforcement,
        *,
        make: MakeGrader,
        monitors: Sequence[Monitor] = (),
        rows: Rows = (),
    ) -> None:
        self._journal = journal
        self._rules = rules
        self._make = make
        self._monitors = monitors
        self._troubled: set[str] = set()
        self._watch = Watch([monitor.name for monitor in monitors])
        self._watch.replay(rows)
        self._graded: defaultdict[str, list[GradedEpisode]] = defaultdict(list)  # of this step, by split

    async def episode(self, split: str, step: int, graded: GradedEpisode) -> None:
        """See ports.Journal."""
        await self._journal.episode(split, step, graded)
        if graded.valid:
            self._graded[split].append(graded)
            for monitor in self._monitors:
                monitor.watch(split, graded.episode)

    async def progress(self, step: int, phase: str, done: int, expected: int) -> None:
        """See ports.Journal."""
        await self._journal.progress(step, phase, done, expected)

    async def step(self, step: int, metrics: Mapping[str, float]) -> None:
        """See ports.Journal. Warnings come after the step's metrics."""
        graded = {split: tuple(self._graded.pop(split, ())) for split in ("train", "valid")}
        found = dict(metrics)
        for split, episodes in graded.items():
            found |= signs(split, episodes, success=self._rules.penalty.success)
        collected = await all_of(monitor.collect() for monitor in self._monitors)
        monitored = {}
        for monitor, grades in zip(self._monitors, collected, strict=True):
            found |= _monitor_figures(monitor, graded, grades)
            monitored[monitor.name] = grades.get("valid", ({}, 0))[0]
            await self._tell_failures(monitor, grades)
        await self._journal.step(step, found)
        observation = Observation(
            step=step,
            metrics=found,
            train=graded["train"],
            valid=graded["valid"],
            monitors=monitored,
            item_rewards=item_rewards(graded["valid"]),
        )
        for name, alert in self._watch.observe(observation):
            await self._journal.warn(alert.message, data=_alert_data(name, step, alert))
        if step == 0 and self._rules.check_grader and self._rules.grader["type"] not in GROUP_GRADERS:
            await self._check_twice(graded["valid"])

    async def checkpoint(self, checkpoint: Checkpoint) -> None:
        """See ports.Journal."""
        await self._journal.checkpoint(checkpoint)

    async def warn(self, message: str, *, data: Mapping[str, Any] | None = None) -> None:
        """See ports.Journal."""
        await self._journal.warn(message, data=data)

    async def _tell_failures(self, monitor: Monitor, found: Found) -> None:
        failed = sum(asked - len(rewards) for rewards, asked in found.values())
        asked = sum(asked for _, asked in found.values())
        if failed > TROUBLED_SHARE * asked and monitor.name not in self._troubled:
            self._troubled.add(monitor.name)
            message = (
                f"The monitor grader {monitor.name!r} failed on {failed} of {asked} episodes; the last time: "
                f"{monitor.trouble}. The job goes on without these grades; this is said once."
            )
            numbers = {"failed": failed, "asked": asked}
            await self.warn(message, data={"alarm": f"monitor_failed:{monitor.name}", "numbers": numbers})

    async def _check_twice(self, baseline: Sequence[GradedEpisode]) -> None:
        """Grade a few episodes again with a grader made anew, which no cache helps to repeat itself."""
        async with await self._make(self._rules.grader) as grader:
            noise = await measure_noise(grader, baseline)
        if noise is not None and not noise.deterministic:
            traces = [graded.episode.trace_id for graded in _draw(baseline)]
            data = {"alarm": "grader_noise", "step": 0, "numbers": asdict(noise), "trace_ids": traces}
            severity = "serious" if noise.drowns_signal else "warn"
            await self.warn(noise_message(noise), data={**data, "severity": severity})


async def measure_noise(grader: Grader, baseline: Sequence[GradedEpisode]) -> Noise | None:
    """Grade a few again and compare; None where nothing could be graded again."""
    drawn = _draw(baseline)
    again = [graded.episode for graded in drawn]
    verdicts = await grade_all(grader, again, deadline_s=RECHECK_DEADLINE_S)
    first = {graded.episode.trace_id: graded.reward for graded in drawn}
    return compare_gradings(first, rewards_by_trace(again, verdicts), [graded.reward for graded in baseline])


def _draw(baseline: Sequence[GradedEpisode]) -> Sequence[GradedEpisode]:
    """A few by their trace ids, which are random: the first to finish are the shortest, often without an answer."""
    return sorted(baseline, key=lambda graded: graded.episode.trace_id)[:TWICE]


def _monitor_figures(monitor: Monitor, graded: Mapping[str, Sequence[GradedEpisode]], found: Found) -> dict[str, float]:
    figures: dict[str, float] = {}
    for split, (rewards, asked) in found.items():
        figures |= monitor_signs(split, monitor.name, graded[split], rewards, asked=asked)
    return figures


def _alert_data(name: str, step: int, alert: Alert) -> dict[str, Any]:
    return {
        "alarm": name,
        "severity": alert.severity.value,
        "step": step,
        "numbers": dict(alert.numbers),
        "trace_ids": list(alert.trace_ids),
    }
