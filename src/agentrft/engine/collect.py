"""The groups of one step: as many useful ones as the batch asks for, within a bounded number of further draws.

A group whose attempts all earned the same teaches nothing about accuracy; it is dropped and replaced by another item
(dynamic sampling, DAPO; rl-engine reference, section 1.5). The advantages alone decide which groups are useful, so an
all-passed group whose attempts differ in cost stays in: its efficiency term can still be learned from.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from agentrft.domain.episode import GradedEpisode, Group, Item
from agentrft.domain.job import Reinforcement
from agentrft.domain.training import Datum
from agentrft.engine.attempts import Examiner
from agentrft.engine.credit import advantages, data
from agentrft.engine.fanout import all_of
from agentrft.engine.order import Order
from agentrft.engine.progress import Progress
from agentrft.ports import Journal


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What a step has explored: `groups` is everything, for the metrics; `useful` is what the loss sees.

    `mask_truncated`: so many attempts ran out of tokens that those are left out of the loss, though not of the means.
    """

    groups: tuple[Group, ...]
    useful: tuple[Group, ...]
    mask_truncated: bool = False

    @property
    def episodes(self) -> list[GradedEpisode]:
        """Every attempt made, faulted ones included."""
        return [graded for group in self.groups for graded in group.episodes]

    @property
    def useful_rollouts(self) -> int:
        """Valid attempts in the useful groups, those without advantage included."""
        return sum(len(group.valid) for group in self.useful)


async def collect(
    order: Order[Item], *, examiner: Examiner, rules: Reinforcement, step: int, journal: Journal
) -> Batch:
    """Draw a batch of items from `order` and attempt each; then draw as many as there are useful groups missing.

    There are at most `rules.max_refills` further draws, and fewer where `order` ends.
    """
    collector = _Collector(examiner, rules, Progress(journal, split="train", step=step, phase="sampling"))
    for _ in range(1 + rules.max_refills):
        items = order.next(rules.batch_size - len(collector.useful))
        if not items:
            break
        await collector.explore(items)
    return Batch(
        groups=tuple(collector.groups),
        useful=tuple(collector.useful),
        mask_truncated=truncated_share(collector.groups) > rules.faults.truncated_limit,
    )


def training_data(batch: Batch, rules: Reinforcement, *, seed: int) -> list[Datum]:
    """What the trainer sees of a batch."""
    return data(batch.useful, rules.penalty, mask_truncated=batch.mask_truncated, keep=rules.train_attempts, seed=seed)


def is_useful(group: Group, rules: Reinforcement) -> bool:
    """Whether there are enough valid attempts, and any of them did better or worse than its peers."""
    return len(group.valid) >= rules.min_group and any(advantages(group, rules.penalty))


def truncated_share(groups: Sequence[Group]) -> float:
    """Of the graded attempts, how many ran out of tokens."""
    stops = [graded.episode.stop for group in groups for graded in group.valid]
    return sum(stop.truncated for stop in stops) / len(stops) if stops else 0.0


def truncation_warning(batch: Batch, rules: Reinforcement, step: int) -> str:
    """What the guard against truncation did, and whose turn it is."""
    return (
        f"{truncated_share(batch.groups):.0%} of the attempts of step {step} ran out of tokens before they ended. "
        f"Above {rules.faults.truncated_limit:.0%} they count in the means of their groups, but nothing is learned "
        "from their tokens. Raise agentrft.max_turn_tokens or agentrft.max_context_tokens, or raise "
        "agentrft.faults.truncated_limit to learn from them all the same."
    )


def no_update_warning(batch: Batch, rules: Reinforcement, step: int) -> str:
    """Why nothing could be learned in a step, and whose turn it is."""
    small = [group for group in batch.groups if len(group.valid) < rules.min_group]
    alike = len(batch.groups) - len(small) - len(batch.useful)
    message = (
        f"Step {step} made no update: of {len(batch.groups)} groups, {alike} had attempts that all did equally well, "
        f"and {len(small)} had fewer than {rules.min_group} attempts without a fault."
    )
    if batch.useful:
        message += f" In {len(batch.useful)}, all attempts that differed ran out of tokens."
    faults = [graded.fault for graded in batch.episodes if graded.fault is not None]
    if small and faults:
        return f"{message} The last fault was at {faults[-1].where}: {faults[-1].message}"
    return message


class _Collector:
    def __init__(self, examiner: Examiner, rules: Reinforcement, progress: Progress) -> None:
        self._examiner = examiner
        self._rules = rules
        self._progress = progress
        self._draws: Counter[int] = Counter()
        self.groups: list[Group] = []
        self.useful: list[Group] = []

    async def explore(self, items: Sequence[Item]) -> None:
        await self._progress.expect(len(items) * self._rules.group_size)
        groups = await all_of([self._group(item) for item in items])
        self.groups += groups
        self.useful += [group for group in groups if is_useful(group, self._rules)]

    async def _group(self, item: Item) -> Group:
        # A small data set can give one item twice in a step: other attempt numbers give it other random draws.
        first_attempt = self._draws[item.index] * self._rules.group_size * self._examiner.max_attempts
        self._draws[item.index] += 1
        return await self._examiner.run_group(
            item, size=self._rules.group_size, first_attempt=first_attempt, progress=self._progress
        )
