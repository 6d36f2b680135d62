"""What a person sees while jobs run: bars and a table in a terminal, plain lines where output goes to a file."""

import time
from collections.abc import Callable
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from agentrft.demo.follow import StepFigures

PLAIN_INTERVAL_S = 15.0
REFRESHES_PER_S = 2.0  # drawing competes with training for the same cores


class Display(Protocol):
    """Where a run tells what it does."""

    def phase(self, title: str) -> None:
        """A new part of the run begins."""

    def progress(self, share: float, detail: str, seconds_left: float | None) -> None:
        """How much of the part is done, 0 to 1."""

    def step(self, figures: StepFigures) -> None:
        """A reinforcement step or the baseline is complete."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def display_for(console: Console) -> Display:
    return TerminalDisplay(console) if console.is_terminal else PlainDisplay(console)


class TerminalDisplay:
    """A bar for each part of the run, and a table that grows by a line a step."""

    def __init__(self, console: Console) -> None:
        self._bars = Progress(
            TextColumn("{task.description:<14}"),
            BarColumn(bar_width=28),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]:<12}"),
            TextColumn("[dim]{task.fields[detail]}"),
            console=console,
        )
        self._table = step_table()
        self._live = Live(self._content(), console=console, refresh_per_second=REFRESHES_PER_S)

    def phase(self, title: str) -> None:
        self._finish_bar()
        self._bars.add_task(title, total=1.0, left="", detail="")

    def progress(self, share: float, detail: str, seconds_left: float | None) -> None:
        left = "" if seconds_left is None else f"{clock(seconds_left)} left"
        self._bars.update(self._bars.task_ids[-1], completed=share, detail=detail, left=left)

    def step(self, figures: StepFigures) -> None:
        self._table.add_row(*step_cells(figures))
        self._live.update(self._content())

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._finish_bar()
        self._live.stop()

    def _finish_bar(self) -> None:
        for task in self._bars.task_ids[-1:]:
            self._bars.update(task, completed=1.0, left="", detail="")
            self._bars.stop_task(task)

    def _content(self) -> Group:
        return Group(self._bars, self._table) if self._table.row_count else Group(self._bars)


class PlainDisplay:
    """One line for each event, and one now and then for progress."""

    def __init__(self, console: Console, *, now: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._now = now
        self._started = now()
        self._told = self._started

    def phase(self, title: str) -> None:
        self._say(title)

    def progress(self, share: float, detail: str, seconds_left: float | None) -> None:
        if self._now() - self._told < PLAIN_INTERVAL_S:
            return
        left = "" if seconds_left is None else f", {clock(seconds_left)} left"
        self._say(f"  {share:.0%} {detail}{left}")

    def step(self, figures: StepFigures) -> None:
        names = [str(column.header) for column in step_table().columns]
        pairs = zip(names, step_cells(figures), strict=True)
        self._say("  " + ", ".join(f"{name} {cell}" for name, cell in pairs if cell))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return

    def _say(self, text: str) -> None:
        self._told = self._now()
        self._console.print(
            f"[{clock(self._told - self._started)}] {text}", markup=False, highlight=False, soft_wrap=True
        )


def step_table() -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("step", "reward", "tool calls", "output tokens", "held-out reward", "held-out calls", "seconds"):
        table.add_column(name, justify="right")
    return table


def step_cells(figures: StepFigures) -> list[str]:
    """The cells of `step_table`; empty where a step has no such figure."""
    validation = figures.validation
    return [
        f"{figures.step}/{figures.total_steps}",
        "" if figures.step == 0 else number(figures.reward),
        "" if figures.step == 0 else number(figures.tool_calls),
        "" if figures.step == 0 else number(figures.output_tokens, digits=0),
        number(validation.reward_mean) if validation else "",
        number(validation.tool_calls_mean) if validation else "",
        number(figures.seconds, digits=0),
    ]


def number(value: float | None, *, digits: int = 2) -> str:
    """A figure for people; empty when it is not there."""
    return "" if value is None else f"{value:.{digits}f}"


def clock(seconds: float) -> str:
    """Minutes and seconds, e.g. `3:07`."""
    whole = max(0, round(seconds))
    return f"{whole // 60}:{whole % 60:02d}"
