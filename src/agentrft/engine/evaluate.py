"""One pass over the validation items: how good is the policy on questions that it does not learn from?"""

import time
from collections.abc import Sequence

from agentrft.domain.episode import Item
from agentrft.engine.attempts import Examiner
from agentrft.engine.fanout import all_of
from agentrft.engine.progress import Progress
from agentrft.ports import Evaluation, Journal


async def evaluate(
    items: Sequence[Item], *, examiner: Examiner, samples: int, step: int, journal: Journal
) -> Evaluation:
    """`samples` attempts at each item, all at once, at the same sampling settings as in training.

    Returns:
        Every attempt. Those that met a fault, and were tried again, have no grade and are in no mean.
    """
    started = time.monotonic()
    progress = Progress(journal, split="valid", step=step, phase="eval")
    await progress.expect(len(items) * samples)
    groups = await all_of(examiner.run_group(item, size=samples, first_attempt=0, progress=progress) for item in items)
    episodes = tuple(graded for group in groups for graded in group.episodes)
    return Evaluation(step=step, episodes=episodes, seconds=time.monotonic() - started)


def no_baseline_message(evaluation: Evaluation) -> str:
    """Why a job whose first evaluation has not one grade cannot go on, and what to do."""
    faults = [graded.fault for graded in evaluation.episodes if graded.fault is not None]
    return (
        f"All {len(evaluation.episodes)} episodes of the baseline evaluation met a fault; the last one was at "
        f"{faults[-1].where}: {faults[-1].message}. Mend it and start the job again."
    )
