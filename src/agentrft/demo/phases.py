"""Seconds by part of a run, and the bar that follows a job through its part."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from agentrft.demo.display import Display
from agentrft.demo.follow import JobFollower, Progress, StepFigures
from agentrft.demo.pace import Pace, Plan


@dataclass(slots=True)
class Phases:
    """Which part of a run took how long; parts follow each other without a gap."""

    started_s: float = field(default_factory=time.monotonic)
    _begun: list[tuple[str, float]] = field(default_factory=list)

    def begin(self, name: str) -> None:
        """End the part before, and start this one."""
        self._begun.append((name, time.monotonic()))

    def total_s(self) -> float:
        return round(time.monotonic() - self.started_s, 1)

    def seconds(self) -> dict[str, float]:
        """Seconds by part, the last one up to now."""
        ends = [begun for _, begun in self._begun[1:]] + [time.monotonic()]
        return {name: round(end - begun, 1) for (name, begun), end in zip(self._begun, ends, strict=True)}


def watch(
    follower: JobFollower, plan: Plan, display: Display, *, on_step: Callable[[StepFigures], None]
) -> list[StepFigures]:
    """Follow a job to its end and keep the display's bar up to date; every step that it reported."""
    pace = Pace(plan=plan, started_s=time.monotonic())
    steps: list[StepFigures] = []
    for update in follower.updates():
        if isinstance(update, StepFigures):
            steps.append(update)
            on_step(update)
            reached, detail = plan.after(update.step), _after_step(update)
        else:
            reached, detail = plan.at(update), _inside_step(update)
        left = pace.reach(reached, time.monotonic())
        display.progress(pace.share, detail, left)
    return steps


def _after_step(figures: StepFigures) -> str:
    loss = "" if figures.loss is None else f", loss {figures.loss:.3f}"
    return f"step {figures.step}/{figures.total_steps}{loss}"


def _inside_step(progress: Progress) -> str:
    counted = f" {progress.done}/{progress.expected}" if progress.expected else ""
    return f"step {progress.step}: {progress.phase}{counted}"
