"""score_model and label_model: a judge gives a number or chooses a label (API reference, sections 3.5 and 3.6)."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from agentrft.domain.faults import Fault
from agentrft.grading.judge import JudgeClient, Question
from agentrft.grading.judge_prompts import render_messages
from agentrft.grading.scoring import Flag, Score, Subject
from agentrft.grading.templates import MissingVariableError
from agentrft.wire.graders import LabelModelGrader, ScoreModelGrader


class ScoreModelScorer:
    """The judge's number, clamped to the range."""

    def __init__(self, spec: ScoreModelGrader, client: JudgeClient) -> None:
        self._input = spec.input
        self._client = client
        self._lowest, self._highest = spec.range or (0.0, 1.0)

    async def open(self) -> None:
        await self._client.open()

    async def close(self) -> None:
        await self._client.close()

    async def score(self, subject: Subject) -> Score | Fault:
        try:
            messages = render_messages(self._input, subject.values)
        except MissingVariableError as error:
            return Score(reward=0.0, errors={Flag.INVALID_VARIABLE: str(error)})
        schema = _schema({"type": "number"})
        question = Question(
            messages=messages, schema_name="float_score_classification", schema=schema, read=_read_number
        )
        verdict = await self._client.ask(question)
        if isinstance(verdict, Fault):
            return verdict
        reward = min(self._highest, max(self._lowest, verdict.value))
        return Score(reward=reward, usage={self._client.name: verdict.usage})


class LabelModelScorer:
    """1.0 when the judge's label is among the passing ones, else 0.0."""

    def __init__(self, spec: LabelModelGrader, client: JudgeClient) -> None:
        self._input = spec.input
        self._client = client
        self._labels = spec.labels
        self._passing = frozenset(spec.passing_labels)

    async def open(self) -> None:
        await self._client.open()

    async def close(self) -> None:
        await self._client.close()

    async def score(self, subject: Subject) -> Score | Fault:
        try:
            messages = render_messages(self._input, subject.values)
        except MissingVariableError as error:
            return Score(reward=0.0, errors={Flag.INVALID_VARIABLE: str(error)})
        schema = _schema({"type": "string", "enum": list(self._labels)})
        question = Question(messages=messages, schema_name="label_classification", schema=schema, read=self._read)
        verdict = await self._client.ask(question)
        if isinstance(verdict, Fault):
            return verdict
        return Score(reward=float(verdict.value in self._passing), usage={self._client.name: verdict.usage})

    def _read(self, answer: Mapping[str, Any]) -> str:
        return _read_label(answer, self._labels)


def _schema(result: Mapping[str, Any]) -> dict[str, Any]:
    """OpenAI's: the steps come first, so that the judge thinks before it decides."""
    step = {
        "type": "object",
        "properties": {"description": {"type": "string"}, "conclusion": {"type": "string"}},
        "required": ["description", "conclusion"],
        "additionalProperties": False,
    }
    return {
        "type": "object",
        "properties": {"steps": {"type": "array", "items": step}, "result": dict(result)},
        "required": ["steps", "result"],
        "additionalProperties": False,
    }


def is_sane(number: float) -> bool:
    """Whether it is finite, and an integer of JSON no longer than a float can be."""
    return abs(number) <= 1e300 and math.isfinite(number)


def _read_number(answer: Mapping[str, Any]) -> float:
    result = answer.get("result")
    if isinstance(result, bool) or not isinstance(result, int | float) or not is_sane(result):
        raise ValueError("there is no finite number under 'result'")
    return float(result)


def _read_label(answer: Mapping[str, Any], labels: Sequence[str]) -> str:
    result = answer.get("result")
    if not isinstance(result, str) or result not in labels:
        raise ValueError("there is none of the labels under 'result'")
    return result
