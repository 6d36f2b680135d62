"""What a job has left behind, as episodes of their items: its episode files and its own copy of its data."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from agentrft.analysis.tricks import Case, find_reference
from agentrft.datasets import load_items
from agentrft.domain.episode import GradedEpisode, Item
from agentrft.domain.errors import UserError
from agentrft.store import Store
from agentrft.store.episodes import EpisodeFiles
from agentrft.store.replay import read_episode

ROLES = {"train": "training", "valid": "validation"}


class SavedEpisodes:
    """The stored episodes of one reinforcement job."""

    def __init__(self, store: Store, job_id: str) -> None:
        self._store = store
        self._job_id = job_id
        self._files = EpisodeFiles(store.runs_dir / job_id)
        self._items: dict[str, list[Item]] = {}

    async def steps(self, *, split: str | None = None, step: int | None = None) -> list[tuple[str, int]]:
        """Which (split, step) there are of those asked for, in the order in which they were played.

        Raises:
            UserError: there are none.
        """
        there = await asyncio.to_thread(self._files.steps)
        found = [(name, number) for name, number in there if split in (None, name) and step in (None, number)]
        if not found:
            at = " ".join(
                part for part in (split and f"of split '{split}'", step is not None and f"of step {step}") if part
            )
            has = ", ".join(f"{name} {number}" for name, number in there) or "none yet"
            message = f"Job {self._job_id} has no episodes {at}".rstrip() + f". It has: {has}."
            raise UserError(message, param="step" if step is not None else "split", code="no_episodes", status=404)
        return sorted(found, key=lambda each: (each[1], each[0]))

    async def read(self, split: str, step: int) -> list[GradedEpisode]:
        """The episodes of a step, in the order in which they were finished."""
        if split not in self._items:
            path = self._store.files.snapshot_path(self._job_id, ROLES[split])
            self._items[split] = await asyncio.to_thread(load_items, path, param=f"{ROLES[split]}_file")
        return await asyncio.to_thread(self._read, split, step)

    def _read(self, split: str, step: int) -> list[GradedEpisode]:
        items = self._items[split]
        return [read_episode(record, items[record["item_index"]]) for record in self._files.read(split, step)]

    async def cases(
        self, *, split: str, step: int | None, items: int, attempts: int, reference: str | None
    ) -> list[Case]:
        """The first items of a step with real attempts at each; by default of the first step of the split."""
        found = await self.steps(split=split, step=step)
        by_item: dict[int, list[GradedEpisode]] = {}
        for graded in await self.read(*found[0]):
            if graded.episode.fault is None:
                by_item.setdefault(graded.episode.item.index, []).append(graded)
        return [
            Case(
                item=played[0].episode.item,
                reference=find_reference(played[0].episode.item.row, reference),
                attempts=tuple(graded.episode for graded in played[:attempts]),
            )
            for _, played in sorted(by_item.items())[:items]
        ]


async def cases_of_file(path: Path, *, items: int, reference: str | None) -> Sequence[Case]:
    """The first items of an uploaded file; nobody has attempted them yet."""
    loaded = await asyncio.to_thread(load_items, path, param="file")
    return [Case(item=item, reference=find_reference(item.row, reference)) for item in loaded[:items]]
