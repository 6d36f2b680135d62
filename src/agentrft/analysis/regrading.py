"""How rewards would have differed under another grader: step by step, and by whom most."""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

from agentrft.analysis.statistics import mean, spearman

SAME = 1e-9  # rounding; also `Group.has_signal`
MAX_MOVERS = 10
ANSWER_CHARS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Regraded:
    """One stored episode with both rewards; None where there was no grade."""

    split: str
    step: int
    item_index: int
    attempt: int
    trace_id: str
    answer: str
    old: float | None
    new: float | None
    problem: str | None = None  # why there is no new grade, or what the grader flagged

    @property
    def change(self) -> float | None:
        return self.new - self.old if self.old is not None and self.new is not None else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Old and new rewards of some episodes. Groups count if both graders graded at least two of their attempts."""

    split: str | None
    step: int | None
    episodes: int
    failed: int  # no new grade
    old_mean: float | None  # over episodes with both grades, as all that follows
    new_mean: float | None
    changed_share: float | None
    spearman: float | None
    groups: int
    groups_gained: int  # their attempts now earn different rewards, and did not
    groups_lost: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RegradeReport:
    steps: tuple[Difference, ...]
    total: Difference
    movers: tuple[Regraded, ...]  # the largest changes first


def report(regraded: Sequence[Regraded]) -> RegradeReport:
    """What the new grader would have changed."""
    by_step: defaultdict[tuple[str, int], list[Regraded]] = defaultdict(list)
    for each in regraded:
        by_step[each.split, each.step].append(each)
    moved = [each for each in regraded if each.change is not None and abs(each.change) > SAME]
    moved.sort(key=lambda each: abs(each.change or 0.0), reverse=True)
    return RegradeReport(
        steps=tuple(difference(found, split=split, step=step) for (split, step), found in by_step.items()),
        total=difference(regraded),
        movers=tuple(moved[:MAX_MOVERS]),
    )


def difference(regraded: Sequence[Regraded], *, split: str | None = None, step: int | None = None) -> Difference:
    """Compare the rewards of some episodes."""
    both = [(each, each.old, each.new) for each in regraded if each.old is not None and each.new is not None]
    old, new = [before for _, before, _ in both], [after for _, _, after in both]
    changed = sum(abs(after - before) > SAME for _, before, after in both)
    groups = _groups(((each.split, each.step, each.item_index), before, after) for each, before, after in both)
    signals = [(_differ(before), _differ(after)) for before, after in groups]
    return Difference(
        split=split,
        step=step,
        episodes=len(regraded),
        failed=sum(each.new is None for each in regraded),
        old_mean=mean(old) if old else None,
        new_mean=mean(new) if new else None,
        changed_share=changed / len(both) if both else None,
        spearman=spearman(old, new),
        groups=len(signals),
        groups_gained=signals.count((False, True)),
        groups_lost=signals.count((True, False)),
    )


def _groups(pairs: Iterable[tuple[Hashable, float, float]]) -> list[tuple[list[float], list[float]]]:
    """Old and new rewards of each group of at least two attempts."""
    groups: defaultdict[Hashable, tuple[list[float], list[float]]] = defaultdict(lambda: ([], []))
    for key, before, after in pairs:
        groups[key][0].append(before)
        groups[key][1].append(after)
    return [group for group in groups.values() if len(group[0]) > 1]


def _differ(rewards: Sequence[float]) -> bool:
    return max(rewards) - min(rewards) > SAME
