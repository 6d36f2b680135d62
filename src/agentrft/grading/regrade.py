"""Grading stored episodes anew. What is stored stays as it is."""

from collections.abc import Callable, Sequence

from agentrft.analysis.regrading import ANSWER_CHARS, Regraded
from agentrft.domain.episode import Grade, GradedEpisode
from agentrft.domain.faults import Fault
from agentrft.grading.batch import grade_all
from agentrft.ports import Grader


async def regrade(
    grader: Grader, split: str, step: int, graded: Sequence[GradedEpisode], *, on_done: Callable[[], None]
) -> list[Regraded]:
    """Both rewards of each episode of a step. Episodes that ended in a fault of their own are left out.

    Args:
        on_done: called after each grading.
    """
    whole = [each for each in graded if each.episode.fault is None]
    verdicts = await grade_all(grader, [each.episode for each in whole], on_done=on_done)
    return [_regraded(split, step, each, verdict) for each, verdict in zip(whole, verdicts, strict=True)]


def _regraded(split: str, step: int, before: GradedEpisode, verdict: Grade | Fault) -> Regraded:
    return Regraded(
        split=split,
        step=step,
        item_index=before.episode.item.index,
        attempt=before.episode.attempt,
        trace_id=before.episode.trace_id,
        answer=before.episode.answer[:ANSWER_CHARS],
        old=before.grade.reward if before.grade is not None else None,
        new=verdict.reward if isinstance(verdict, Grade) else None,
        problem=_problem(verdict),
    )


def _problem(verdict: Grade | Fault) -> str | None:
    if isinstance(verdict, Fault):
        return verdict.message
    return "; ".join(f"{flag}: {details}" for flag, details in verdict.errors.items()) or None
