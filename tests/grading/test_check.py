import random
from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any

from agentrft.analysis.hackability import Verdict
from agentrft.analysis.tricks import Case
from agentrft.domain.episode import Episode, Grade
from agentrft.domain.faults import Fault
from agentrft.grading import make_grader
from agentrft.grading.check import check_grader
from agentrft.ports import Grader
from agentrft.testing import FunctionGrader, an_item, broken_grader
from tests.analysis.episodes import played
from tests.grading.judge_server import judging, verdict

ITEMS = [an_item(index, question=f"Revenue of {2000 + index}?") for index in range(4)]


def case(index: int) -> Case:
    item = ITEMS[index]
    replies = [f"revenue {100 + index}, costs 3"]
    attempts = (
        played(item, str(100 + index), replies=replies, trace_id=f"right{index}"),
        played(item, "7", replies=replies, trace_id=f"wrong{index}"),
    )
    return Case(item=item, reference=str(100 + index), attempts=attempts)


CASES = [case(index) for index in range(4)]


async def paid(grader: Grader) -> dict[str, float | None]:
    report = await check_grader(lambda: nullcontext(grader), CASES)
    return {trick.name: trick.reward_mean for trick in report.tricks}


async def test_a_strict_grader_pays_for_the_reference_alone() -> None:
    strict = FunctionGrader(lambda episode: float(episode.answer == str(100 + episode.item.index)))
    report = await check_grader(lambda: nullcontext(strict), CASES)
    assert (report.verdict, report.real_mean, report.real_episodes, report.items) == (Verdict.FINE, 0.5, 8, 4)
    # The constant is right for one item of four: half of what real episodes earn, which is not yet suspicious.
    assert {trick.name for trick in report.tricks if trick.reward_mean} == {"constant", "reference"}
    assert report.noise is not None
    assert report.noise.deterministic


async def test_a_grader_that_looks_for_the_answer_anywhere_is_found_out() -> None:
    lenient = FunctionGrader(lambda episode: float(str(100 + episode.item.index) in episode.answer))
    found = await paid(lenient)
    assert (found["numbers"], found["paste"], found["all_references"], found["empty"]) == (1.0, 1.0, 1.0, 0.0)
    assert (await check_grader(lambda: nullcontext(lenient), CASES)).verdict is Verdict.HACKABLE


async def test_a_grader_that_crashes_on_odd_answers_is_told_with_the_reason() -> None:
    source = "def grade(sample, item):\n    return float(int(sample['output_text']) == 100 + item['index'])\n"
    spec = {"type": "python", "name": "int", "source": source}
    report = await check_grader(lambda: make_grader(spec), CASES[:1])
    by_name = {trick.name: trick for trick in report.tricks}
    assert (by_name["not_available"].reward_mean, by_name["not_available"].flagged) == (0.0, 1)
    assert "ValueError" in (by_name["not_available"].trouble or "")
    assert by_name["reference"].flagged == 0


async def test_a_grader_that_rolls_dice_is_told() -> None:
    dice = random.Random(0)
    report = await check_grader(lambda: nullcontext(FunctionGrader(lambda episode: dice.random())), CASES)
    assert report.noise is not None
    assert report.noise.differing == 8
    assert report.noise.drowns_signal


async def test_progress_is_told_to_the_end_and_failures_are_counted() -> None:
    told: list[tuple[int, int]] = []

    def grade(episode: Episode) -> float | Grade | Fault:
        return broken_grader()

    report = await check_grader(
        lambda: nullcontext(FunctionGrader(grade)), CASES, on_progress=lambda done, total: told.append((done, total))
    )
    assert [done for done, _ in told] == list(range(1, len(told) + 1))
    assert {total for _, total in told} == {len(told)}
    assert (report.verdict, report.real_failed) == (Verdict.UNKNOWN, 8)


async def test_a_judge_that_samples_is_told_although_it_is_asked_the_same_twice() -> None:
    dice = random.Random(0)

    def answer(body: Mapping[str, Any]) -> Any:
        return verdict(dice.random())

    async with judging(answer) as server:
        ask = [{"role": "user", "content": "{{sample.output_text}}"}]
        spec, judges = {"type": "score_model", "model": "judge", "input": ask}, {"judge": server.endpoint()}
        report = await check_grader(lambda: make_grader(spec, judges=judges), CASES)
    assert report.noise is not None
    assert report.noise.differing == 8
