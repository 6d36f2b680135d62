"""Monitor graders: they grade beside the job, its validation and a share of its training, and are never in the loss.

Whatever becomes of them, the job goes on: they get a deadline at the end of each step, and are given up when they keep
failing.
"""

import asyncio
import logging
import traceback
from collections.abc import Mapping

from agentrft.domain.episode import Episode, Grade
from agentrft.grading.batch import grade_within
from agentrft.ports import Grader

log = logging.getLogger(__name__)
TRAIN_SHARE = 20  # one of so many training episodes: 5 % (rl-engine reference, section 4)
WIDTH = 16  # gradings at once
GRACE_S = 60.0  # that the end of a step waits for gradings under way
MAX_BARREN_STEPS = 3  # in a row without a single grade, and a monitor is given up

Found = Mapping[str, tuple[dict[str, float], int]]  # by split: rewards by trace id, and of how many episodes


class Monitor:
    """One grader and what it is grading; whoever made it calls `close`."""

    def __init__(self, name: str, grader: Grader, *, grace_s: float = GRACE_S) -> None:
        self.name = name
        self.trouble = ""  # the last failure, for the owner of the job
        self._grader = grader
        self._grace_s = grace_s
        self._places = asyncio.Semaphore(WIDTH)
        self._tasks: dict[tuple[str, str], asyncio.Task[float | None]] = {}  # by split and trace id
        self._trained = 0
        self._barren_steps = 0

    @property
    def given_up(self) -> bool:
        return self._barren_steps >= MAX_BARREN_STEPS

    def watch(self, split: str, episode: Episode) -> None:
        """Begin to grade an episode, if it is one to grade."""
        if split == "train":
            self._trained += 1
            if self._trained % TRAIN_SHARE:
                return
        if not self.given_up:
            self._tasks[split, episode.trace_id] = asyncio.create_task(self._grade(episode))

    async def collect(self) -> Found:
        """What was graded since the last time. Waits a while for gradings still under way, then ends them."""
        tasks, self._tasks = self._tasks, {}
        if not tasks:
            return {}
        try:
            _, late = await asyncio.wait(tasks.values(), timeout=self._grace_s)
        finally:
            await _cancel(*tasks.values())  # those that are done keep their results
        if late:
            self.trouble = f"{len(late)} gradings were not done {self._grace_s:g} s after the step"
        found: dict[str, tuple[dict[str, float], int]] = {}
        for (split, trace_id), task in tasks.items():
            rewards, asked = found.get(split, ({}, 0))
            reward = None if task.cancelled() else task.result()
            found[split] = (rewards if reward is None else {**rewards, trace_id: reward}), asked + 1
        barren = not any(rewards for rewards, _ in found.values())
        self._barren_steps = self._barren_steps + 1 if barren else 0
        return found

    async def close(self) -> None:
        await _cancel(*self._tasks.values())

    async def _grade(self, episode: Episode) -> float | None:
        async with self._places:
            try:
                verdict = await grade_within(self._grader, episode, deadline_s=self._grace_s)
            except Exception as error:  # noqa: BLE001  a border: nothing that a monitor does may end the job
                log.error("monitor grader %s\n%s", self.name, traceback.format_exc())
                self.trouble = f"internal error ({type(error).__name__})"
                return None
        if isinstance(verdict, Grade):
            return verdict.reward
        self.trouble = verdict.message
        return None


async def _cancel(*tasks: asyncio.Task[float | None]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
