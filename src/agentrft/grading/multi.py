"""multi: a formula over the rewards of other graders (API reference, section 3.7)."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace

from agentrft.domain.episode import TokenUsage
from agentrft.domain.faults import Fault
from agentrft.grading.formula import FormulaError, parse_formula
from agentrft.grading.scoring import Flag, Score, Scorer, Subject
from agentrft.wire.graders import MultiGrader


class MultiScorer:
    """All parts at once, then the formula. A part that fails makes the whole a fault: a guess is no reward.

    Args:
        parts: the scorers by variable.
    """

    def __init__(self, spec: MultiGrader, parts: Mapping[str, Scorer]) -> None:
        self._formula = parse_formula(spec.calculate_output)
        self._parts = parts

    async def open(self) -> None:
        for part in self._parts.values():
            await part.open()

    async def close(self) -> None:
        for part in self._parts.values():
            await part.close()

    async def score(self, subject: Subject) -> Score | Fault:
        async with asyncio.TaskGroup() as group:
            tasks = {key: group.create_task(part.score(subject)) for key, part in self._parts.items()}
        scores: dict[str, Score] = {}
        for key, task in tasks.items():
            outcome = task.result()
            if isinstance(outcome, Fault):
                return replace(outcome, where=key)
            scores[key] = outcome
        return self._combine(scores)

    def _combine(self, scores: Mapping[str, Score]) -> Score:
        values = {key: score.reward for key, score in scores.items()}
        errors = _merge_errors(scores)
        try:
            reward = self._formula.evaluate(values)
        except FormulaError as error:
            reward, errors = 0.0, {**errors, Flag.FORMULA: str(error)}
        return Score(reward=reward, errors=errors, parts=values, usage=_add_usage(scores))


def _merge_errors(scores: Mapping[str, Score]) -> dict[Flag, str]:
    merged: dict[Flag, str] = {}
    for key, score in scores.items():
        for flag, details in score.errors.items():
            text = f"{key}: {details}"
            merged[flag] = f"{merged[flag]}; {text}" if flag in merged else text
    return merged


def _add_usage(scores: Mapping[str, Score]) -> dict[str, TokenUsage]:
    total: dict[str, TokenUsage] = {}
    for score in scores.values():
        for model, usage in score.usage.items():
            total[model] = total.get(model, TokenUsage()) + usage
    return total
