import asyncio
from typing import Any

import pytest

from agentrft.domain.episode import TokenUsage
from agentrft.domain.faults import Fault, FaultKind, FaultOwner
from agentrft.grading.grader import make_scorer
from agentrft.grading.scoring import Flag, Score, Subject
from agentrft.grading.specs import read_spec
from tests.grading.judge_server import judging, verdict
from tests.tools.scripted_endpoint import Answer, Gather, ScriptedEndpoint

EXACT = {"type": "string_check", "input": "{{sample.output_text}}", "reference": "{{item.answer}}", "operation": "eq"}
LIKE = {
    "type": "text_similarity", "evaluation_metric": "rouge_1",
    "input": "{{sample.output_text}}", "reference": "{{item.answer}}",
}  # fmt: skip
HALF = {"type": "python", "source": "def grade(sample, item):\n    return len(sample['output_text']) / 2"}
RAISES = {"type": "python", "source": "def grade(sample, item):\n    return 1 / 0"}
SUBJECT = Subject(sample={"output_text": "a b"}, item={"answer": "a c"}, trace_id="trace_0")


async def grade(formula: str, judges: Any = None, **graders: Any) -> Score | Fault:
    spec = read_spec({"type": "multi", "name": "m", "graders": graders, "calculate_output": formula})
    scorer = make_scorer(spec, judges=judges or {}, backoff_s=lambda attempt: 0.0)
    await scorer.open()
    try:
        return await scorer.score(SUBJECT)
    finally:
        await scorer.close()


async def test_the_formula_is_applied_to_the_parts_and_each_part_is_kept() -> None:
    score = await grade("0.5 * like + 2 ^ half - exact", exact=EXACT, like=LIKE, half=HALF)
    assert score == Score(reward=0.25 + 2**1.5, parts={"exact": 0.0, "like": 0.5, "half": 1.5})


async def test_a_part_that_the_formula_does_not_use_is_kept_too() -> None:
    score = await grade("exact", exact=EXACT, like=LIKE)
    assert score == Score(reward=0.0, parts={"exact": 0.0, "like": 0.5})


async def test_what_a_part_flags_the_whole_flags_by_its_name() -> None:
    missing = {**EXACT, "reference": "{{item.target}}"}
    score = await grade("1 + a + b + c", a=missing, b={**LIKE, "reference": "{{item.goal}}"}, c=RAISES)
    assert isinstance(score, Score)
    assert (score.reward, score.parts) == (1.0, {"a": 0.0, "b": 0.0, "c": 0.0})
    assert score.errors == {
        Flag.INVALID_VARIABLE: "a: item.target: there is no 'target' here; b: item.goal: there is no 'goal' here",
        Flag.PYTHON_RUNTIME: "c: ZeroDivisionError: division by zero (line 2)",
    }


async def test_a_formula_without_a_value_is_a_flagged_zero() -> None:
    score = await grade("1 / exact", exact=EXACT)
    assert score == Score(
        reward=0.0,
        parts={"exact": 0.0},
        errors={Flag.FORMULA: "1 / 0 at character 3 has no value: float division by zero"},
    )


async def test_a_part_that_fails_makes_the_whole_a_fault_at_that_part() -> None:
    async with ScriptedEndpoint(Answer(status=500)) as server:
        fault = await grade("0 * mine + exact", exact=EXACT, mine={"type": "endpoint", "name": "x", "url": server.url})
    assert isinstance(fault, Fault)
    assert (fault.owner, fault.kind, fault.where) == (FaultOwner.GRADER_ENDPOINT, FaultKind.HTTP_5XX, "mine")


async def test_parts_are_graded_at_once() -> None:
    async with ScriptedEndpoint(Gather(count=3, answer=Answer(body={"score": 1.0}))) as server:
        endpoint = {"type": "endpoint", "url": server.url}
        score = await asyncio.wait_for(grade("a + b + c", a=endpoint, b=endpoint, c=endpoint), 10)
    assert isinstance(score, Score)
    assert score.reward == 3.0


async def test_what_judges_used_is_added_up_by_model() -> None:
    ask = {"model": "judge", "input": [{"role": "user", "content": "{{sample.output_text}}"}]}
    label = {"type": "label_model", **ask, "labels": ["yes", "no"], "passing_labels": ["yes"]}

    def answer(body: Any) -> Any:
        name = body["response_format"]["json_schema"]["name"]
        return verdict("yes" if name == "label_classification" else 0.5)

    async with judging(answer) as server:
        judges = {"judge": server.endpoint()}
        score = await grade("label - score", judges, label=label, score={"type": "score_model", **ask})
    assert isinstance(score, Score)
    assert score.reward == pytest.approx(0.5)
    assert score.usage == {"judge": TokenUsage(prompt_tokens=200, completion_tokens=40, cached_tokens=128)}
