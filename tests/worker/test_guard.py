"""The guard hears what a job does, and warns its owner."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from agentrft.domain.episode import GradedEpisode
from agentrft.domain.errors import UserError
from agentrft.domain.job import Reinforcement
from agentrft.grading import SpecGrader, make_grader
from agentrft.testing import FunctionGrader, MemoryJournal, a_graded_episode, an_episode, broken_grader, some_rules
from agentrft.worker.guard import Guard, Rows, open_guard
from agentrft.worker.monitors import Found, Monitor
from tests.analysis.episodes import graded, played

EXACT = {
    "type": "string_check", "name": "exact", "operation": "eq",
    "input": "{{sample.output_text}}", "reference": "{{item.reference_answer}}",
}  # fmt: skip
DICE = {"type": "python", "name": "dice", "source": "import random\ndef grade(s, i):\n    return random.random()\n"}


def rules(**changes: Any) -> Reinforcement:
    return replace(some_rules(), **{"grader": EXACT, "check_grader": False, **changes})


async def make(spec: Mapping[str, Any]) -> SpecGrader:
    return make_grader(spec)


def episodes(*rewards: float, answers: Sequence[str] | None = None) -> list[GradedEpisode]:
    return [
        graded(reward, played(n, answers[n] if answers else str(n), trace_id=f"trace_{n}"))
        for n, reward in enumerate(rewards)
    ]


def right(trace_id: str = "trace") -> GradedEpisode:
    """An episode that the exact grader pays."""
    item = replace(played(0, "42").item, row={"reference_answer": "42"})
    return graded(1.0, played(item, "42", trace_id=trace_id))


async def tell(guard: Guard, step: int, metrics: dict[str, float], *, valid: Sequence[GradedEpisode] = ()) -> None:
    for each in valid:
        await guard.episode("valid", step, each)
    await guard.step(step, metrics)


async def test_everything_is_passed_on_and_figures_are_added() -> None:
    journal = MemoryJournal()
    guard = Guard(make=make, journal=journal, rules=rules())
    valid = episodes(0.25, 1.0)
    await guard.progress(0, "eval", 1, 2)
    await guard.warn("look", data={"alarm": "x"})
    await tell(guard, 0, {"valid_reward_mean": 0.6}, valid=[*valid, a_graded_episode(None)])
    assert journal.episodes["valid", 0][:2] == valid
    assert len(journal.episodes["valid", 0]) == 3
    assert journal.steps[0] == {
        "valid_reward_mean": 0.6,
        "valid_reward_min": 0.25,
        "valid_reward_max": 1.0,
        "valid_answer_tokens_mean": 10.0,
    }
    assert (journal.warnings, journal.warning_data) == (["look"], [{"alarm": "x"}])
    assert journal.progress_entries[0].done == 1


async def test_an_alarm_becomes_a_warning_with_its_numbers_and_its_episodes() -> None:
    journal = MemoryJournal()
    guard = Guard(make=make, journal=journal, rules=rules())
    alike = episodes(*[1.0] * 12, answers=["42"] * 12)
    await tell(guard, 0, {}, valid=episodes(*[0.0] * 12))
    await tell(guard, 5, {}, valid=alike)
    await tell(guard, 10, {}, valid=alike)
    by_alarm = {data["alarm"]: data for data in journal.warning_data}
    assert set(by_alarm) == {"answer_repeats"}
    assert len(journal.warning_data) == 1
    data = by_alarm["answer_repeats"]
    assert (data["severity"], data["step"], data["numbers"]["share"]) == ("serious", 5, 1.0)
    assert data["trace_ids"] == [f"trace_{n}" for n in range(10)]
    assert "'42'" in journal.warnings[0]


async def test_monitors_are_in_the_metrics_and_their_failures_are_told_once() -> None:
    journal = MemoryJournal()
    follows = Monitor("tone", FunctionGrader(lambda episode: episode.item.index / 24))
    fails = Monitor("style", FunctionGrader(lambda _: broken_grader()))
    guard = Guard(make=make, journal=journal, rules=rules(), monitors=[follows, fails])
    for step in (0, 5):
        await tell(guard, step, {}, valid=episodes(*[n / 24 for n in range(25)]))
    assert journal.steps[0]["valid_monitor_mean_tone"] == 0.5
    assert journal.steps[0]["valid_monitor_spearman_tone"] > 0.999
    assert journal.steps[0]["valid_monitor_failed_share_style"] == 1.0
    assert "valid_monitor_mean_style" not in journal.steps[0]
    failures = [text for text in journal.warnings if text.startswith("The monitor grader 'style' failed")]
    assert len(failures) == 1
    assert "25 of 25 episodes; the last time: the grader's reply holds no score" in failures[0]


async def test_a_monitor_that_ranks_the_other_way_round_is_an_alarm() -> None:
    journal = MemoryJournal()
    guard = Guard(
        make=make,
        journal=journal,
        rules=rules(),
        monitors=[Monitor("tone", FunctionGrader(lambda e: -float(e.item.index)))],
    )
    await tell(guard, 0, {"valid_reward_mean": 0.5}, valid=episodes(*[n / 24 for n in range(25)]))
    data = next(data for data in journal.warning_data if data["alarm"] == "monitor_disagrees:tone")
    assert data["trace_ids"][0] == "trace_24"


async def test_monitor_graders_of_a_job_are_made_and_closed() -> None:
    journal = MemoryJournal()
    async with open_guard(journal, rules(monitor_graders=(EXACT, DICE)), make) as guard:
        await tell(guard, 0, {}, valid=[right()])
    assert journal.steps[0]["valid_monitor_mean_exact"] == 1.0
    assert 0 <= journal.steps[0]["valid_monitor_mean_dice"] <= 1


async def test_a_grader_that_rolls_dice_is_told_before_training_starts() -> None:
    async def said(grader: dict[str, str], *, check_grader: bool = True) -> MemoryJournal:
        journal = MemoryJournal()
        guard = Guard(make=make, journal=journal, rules=rules(grader=grader, check_grader=check_grader))
        await tell(guard, 0, {}, valid=[right(str(8 - n)) for n in range(9)])
        await tell(guard, 5, {})
        return journal

    assert (await said(EXACT)).warnings == []
    assert (await said(DICE, check_grader=False)).warnings == []
    assert (await said({"type": "ruler", "name": "group"})).warnings == []
    journal = await said(DICE)
    (data,) = journal.warning_data
    assert (data["alarm"], data["numbers"]["episodes"]) == ("grader_noise", 8)
    assert data["trace_ids"] == list("01234567")  # not the first eight to finish
    assert "8 of 8 episodes got another reward" in journal.warnings[0]


async def test_a_job_that_is_taken_over_knows_its_earlier_steps() -> None:
    drifted = {"train/mismatch_kl": 0.02, "train/tokens": 5000.0}
    rows: Rows = [(0, {}), (1, drifted)]
    journal = MemoryJournal()
    guard = Guard(make=make, journal=journal, rules=rules(), rows=rows)
    await guard.episode("train", 2, a_graded_episode(1.0, an_episode()))
    await guard.step(2, drifted)
    assert journal.warnings == []


class Meeting(Monitor):
    """Is done only when another one is collected at the same time."""

    def __init__(self, name: str, barrier: asyncio.Barrier) -> None:
        super().__init__(name, FunctionGrader(lambda _: 0.0))
        self._barrier = barrier

    async def collect(self) -> Found:
        await self._barrier.wait()
        return {}


async def test_a_step_waits_for_all_its_monitors_at_once() -> None:
    barrier = asyncio.Barrier(2)
    monitors = [Meeting(name, barrier) for name in ("tone", "style")]
    guard = Guard(make=make, journal=MemoryJournal(), rules=rules(), monitors=monitors)
    async with asyncio.timeout(5):
        await tell(guard, 0, {})


async def test_a_job_goes_on_without_a_monitor_that_cannot_be_made() -> None:
    async def find(spec: Mapping[str, Any]) -> SpecGrader:
        match spec["name"]:
            case "tone":
                raise UserError("there is no judge 'j' here.")
            case "style":
                raise ConnectionError("Bearer hush")
        return await make(spec)

    journal = MemoryJournal()
    monitors = tuple({"type": "score_model", "name": name} for name in ("tone", "style"))
    async with open_guard(journal, rules(monitor_graders=(*monitors, EXACT)), find) as guard:
        await tell(guard, 0, {}, valid=[right()])
    assert journal.steps[0]["valid_monitor_mean_exact"] == 1.0
    assert [data["alarm"] for data in journal.warning_data] == ["monitor_failed:tone", "monitor_failed:style"]
    assert "cannot be made: there is no judge 'j' here. The job goes on" in journal.warnings[0]
    assert "cannot be made: internal error (ConnectionError). The job goes on" in journal.warnings[1]
