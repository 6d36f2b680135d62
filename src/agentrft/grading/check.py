"""Running a grader on real episodes and on tricks, as training would run it: what can it be made to pay?"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager

from agentrft.analysis.hackability import CheckReport, Paid, judge
from agentrft.analysis.noise import Noise, compare_gradings
from agentrft.analysis.tricks import TRICKS, Case, Trick, play, read_corpus
from agentrft.domain.episode import Episode, Grade
from agentrft.domain.faults import Fault
from agentrft.grading.batch import grade_all
from agentrft.ports import Grader

TWICE = 8  # real episodes that are graded a second time
MakeGrader = Callable[[], AbstractAsyncContextManager[Grader]]


async def check_grader(
    make: MakeGrader, cases: Sequence[Case], *, on_progress: Callable[[int, int], None] = lambda done, total: None
) -> CheckReport:
    """Grade all attempts of the cases, every trick on every case, and some of the attempts once more.

    Args:
        make: a new grader; that of the second time shall not answer from the memory of the first.
        on_progress: told how many gradings of how many are done.
    """
    real = [attempt for case in cases for attempt in case.attempts]
    tricks = _play_all(cases)
    episodes, again = [*real, *(episode for _, episode in tricks)], real[:TWICE]
    done = 0

    def count() -> None:
        nonlocal done
        done += 1
        on_progress(done, len(episodes) + len(again))

    async with make() as grader:
        verdicts = await grade_all(grader, episodes, on_done=count)
    async with make() as grader:
        second = await grade_all(grader, again, on_done=count)
    first, played = verdicts[: len(real)], verdicts[len(real) :]
    by_trick: defaultdict[Trick, list[Grade | Fault]] = defaultdict(list)
    for (trick, _), verdict in zip(tricks, played, strict=True):
        by_trick[trick].append(verdict)
    paid = {trick: _paid(found) for trick, found in by_trick.items()}
    return judge(_paid(first), paid, items=len(cases), noise=_noise(real, first, second))


def _play_all(cases: Sequence[Case]) -> list[tuple[Trick, Episode]]:
    corpus = read_corpus(cases)
    played = [(trick, play(trick, case, corpus)) for trick in TRICKS for case in cases]
    return [(trick, episode) for trick, episode in played if episode is not None]


def _paid(verdicts: Sequence[Grade | Fault]) -> Paid:
    grades = [verdict for verdict in verdicts if isinstance(verdict, Grade)]
    faults = [verdict.message for verdict in verdicts if isinstance(verdict, Fault)]
    flags = [f"{flag}: {details}" for grade in grades for flag, details in grade.errors.items()]
    return Paid(
        rewards=tuple(grade.reward for grade in grades),
        failed=len(faults),
        flagged=sum(bool(grade.errors) for grade in grades),
        trouble=next(reversed([*flags, *faults]), None),
    )


def _noise(real: Sequence[Episode], first: Sequence[Grade | Fault], again: Sequence[Grade | Fault]) -> Noise | None:
    rewards = rewards_by_trace(real, first)
    return compare_gradings(rewards, rewards_by_trace(real[: len(again)], again), list(rewards.values()))


def rewards_by_trace(episodes: Sequence[Episode], verdicts: Sequence[Grade | Fault]) -> dict[str, float]:
    """The rewards of those that got a grade."""
    return {
        episode.trace_id: verdict.reward
        for episode, verdict in zip(episodes, verdicts, strict=True)
        if isinstance(verdict, Grade)
    }
