"""A journal that keeps everything in lists, so that a test can read what the loop wrote."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agentrft.domain.episode import GradedEpisode
from agentrft.domain.training import Checkpoint


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgressEntry:
    step: int
    phase: str
    done: int
    expected: int


class MemoryJournal:
    """`agentrft.ports.Journal` in memory. `episodes` is by split and step, `steps` holds the metrics by step."""

    def __init__(self) -> None:
        self.episodes: dict[tuple[str, int], list[GradedEpisode]] = {}
        self.steps: dict[int, dict[str, float]] = {}
        self.progress_entries: list[ProgressEntry] = []
        self.checkpoints: list[Checkpoint] = []
        self.warnings: list[str] = []
        self.warning_data: list[dict[str, Any]] = []  # of each warning, in the same order

    async def episode(self, split: str, step: int, graded: GradedEpisode) -> None:
        self.episodes.setdefault((split, step), []).append(graded)

    async def progress(self, step: int, phase: str, done: int, expected: int) -> None:
        self.progress_entries.append(ProgressEntry(step=step, phase=phase, done=done, expected=expected))

    async def step(self, step: int, metrics: Mapping[str, float]) -> None:
        self.steps[step] = dict(metrics)

    async def checkpoint(self, checkpoint: Checkpoint) -> None:
        self.checkpoints.append(checkpoint)

    async def warn(self, message: str, *, data: Mapping[str, Any] | None = None) -> None:
        self.warnings.append(message)
        self.warning_data.append(dict(data or {}))
