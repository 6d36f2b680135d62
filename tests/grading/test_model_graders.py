"""score_model and label_model against a judge that is reached over HTTP."""

import asyncio
from typing import Any

import pytest
from fastapi.responses import JSONResponse

from agentrft.domain.episode import TokenUsage
from agentrft.domain.faults import Fault, FaultKind, FaultOwner
from agentrft.domain.job import JudgeEndpoint
from agentrft.grading.grader import make_scorer
from agentrft.grading.judge import VERDICT_TOKENS, JudgeTurns
from agentrft.grading.scoring import Flag, Score, Subject
from agentrft.grading.specs import read_spec
from tests.grading.judge_server import completion, judging, verdict
from tests.tools.scripted_endpoint import Answer, Break, Hang, ScriptedEndpoint

INPUT = [
    {"role": "system", "content": "Grade."},
    {"role": "user", "content": "Answer: {{sample.output_text}}. Wanted: {{ item.answer }}"},
]
SCORE = {"type": "score_model", "name": "quality", "model": "judge", "input": INPUT}
LABEL = {**SCORE, "type": "label_model", "labels": ["good", "fair", "bad"], "passing_labels": ["good", "fair"]}
USAGE = {"judge": TokenUsage(prompt_tokens=100, completion_tokens=20, cached_tokens=64)}


def subject(text: str = "94", **item: Any) -> Subject:
    return Subject(sample={"output_text": text}, item={"answer": "95", **item}, trace_id="trace_0")


async def grade(spec: dict[str, Any], judge: JudgeEndpoint, *subjects: Subject) -> Any:
    scorer = make_scorer(read_spec(spec), judges={"judge": judge}, backoff_s=lambda attempt: 0.0)
    await scorer.open()
    try:
        scores = [await scorer.score(each) for each in subjects or (subject(),)]
    finally:
        await scorer.close()
    return scores if len(scores) > 1 else scores[0]


async def test_the_judge_is_asked_with_the_rendered_prompt_and_held_to_openais_schema() -> None:
    sampling = {"seed": 7, "temperature": 0.0, "max_completions_tokens": 500, "reasoning_effort": "low"}
    async with judging(lambda body: verdict(0.25)) as server:
        score = await grade({**SCORE, "sampling_params": sampling}, server.endpoint())
    assert score == Score(reward=0.25, usage=USAGE)
    [body] = server.bodies
    schema = body.pop("response_format")["json_schema"]
    assert body == {
        "model": "judge-1",
        "messages": [
            {"role": "system", "content": "Grade."},
            {"role": "user", "content": "Answer: 94. Wanted: 95"},
        ],
        "seed": 7,
        "temperature": 0.0,
        "max_completion_tokens": 500,
        "reasoning_effort": "low",
    }
    assert (schema["name"], schema["strict"]) == ("float_score_classification", True)
    assert list(schema["schema"]["properties"]) == ["steps", "result"]
    assert server.keys == ["Bearer sk-hush-hush"]


@pytest.mark.parametrize(
    ("range", "given", "reward"),
    [(None, 0.5, 0.5), (None, 7, 1.0), (None, -1, 0.0), ([1, 10], 7, 7.0), ([1, 10], 0, 1.0), ([-1, 1], -0.5, -0.5)],
)
async def test_a_score_is_clamped_to_its_range(range, given, reward) -> None:
    async with judging(lambda body: verdict(given)) as server:
        score = await grade({**SCORE, "range": range}, server.endpoint())
    assert score.reward == reward
    assert isinstance(score.reward, float)


@pytest.mark.parametrize(("label", "reward"), [("good", 1.0), ("fair", 1.0), ("bad", 0.0)])
async def test_a_passing_label_is_one(label, reward) -> None:
    async with judging(lambda body: verdict(label)) as server:
        assert await grade(LABEL, server.endpoint()) == Score(reward=reward, usage=USAGE)
    [body] = server.bodies
    assert body["response_format"]["json_schema"]["schema"]["properties"]["result"]["enum"] == ["good", "fair", "bad"]


async def test_parts_are_rendered_and_what_is_substituted_is_no_template() -> None:
    parts = [
        {"type": "input_image", "image_url": "{{item.picture}}", "detail": "low"},
        {"type": "input_audio", "input_audio": {"data": "{{item.sound}}", "format": "wav"}},
        "{{sample.output_text}}",
    ]
    text = [{"type": "output_text", "text": "one"}, "two {{item.answer}}"]
    spec = {**SCORE, "input": [{"role": "user", "content": parts}, {"role": "assistant", "content": text}]}
    async with judging(lambda body: verdict(1)) as server:
        await grade(spec, server.endpoint(), subject("{{item.secret}}", picture="data:x", sound="QUJD"))
    [body] = server.bodies
    assert [message["content"] for message in body["messages"]] == [
        [
            {"type": "image_url", "image_url": {"url": "data:x", "detail": "low"}},
            {"type": "input_audio", "input_audio": {"data": "QUJD", "format": "wav"}},
            {"type": "text", "text": "{{item.secret}}"},
        ],
        "one\ntwo 95",
    ]


async def test_a_judge_that_cannot_be_held_to_a_schema_is_asked_in_words() -> None:
    def think_aloud(body: Any) -> str:
        return 'The set {1, 2} is {"odd": 1}. So:\n```json\n{"steps": [], "result": 0.75}\n```\nDone.'

    async with judging(think_aloud) as server:
        score = await grade(SCORE, server.endpoint(structured=False))
    assert score.reward == 0.75
    [body] = server.bodies
    assert "response_format" not in body
    assert body["messages"][-1]["content"].startswith("Answer: 94. Wanted: 95\n\nAnswer with one JSON object")


async def test_a_missing_variable_is_a_flagged_zero_and_nobody_is_asked() -> None:
    async with judging(lambda body: verdict(1)) as server:
        bare = Subject(sample={}, item={}, trace_id="trace_0")
        [score, label] = [await grade(spec, server.endpoint(), bare) for spec in (SCORE, LABEL)]
    assert score.errors == label.errors == {Flag.INVALID_VARIABLE: "sample.output_text: there is no 'output_text' here"}
    assert (score.reward, label.reward, server.bodies) == (0.0, 0.0, [])


async def test_the_same_prompt_is_paid_for_once() -> None:
    results = iter([0.1, 0.2])
    async with judging(lambda body: verdict(next(results))) as server:
        scores = await grade(SCORE, server.endpoint(), subject("a"), subject("a"), subject("b"), subject("a"))
    assert [score.reward for score in scores] == [0.1, 0.1, 0.2, 0.1]
    assert [score.usage["judge"].prompt_tokens for score in scores] == [100, 0, 100, 0]
    assert len(server.bodies) == 2


async def test_no_more_requests_are_under_way_than_the_judge_bears() -> None:
    async with judging(lambda body: verdict(1.0), pause_s=0.02) as server:
        scorer = make_scorer(read_spec(SCORE), judges={"judge": server.endpoint(max_concurrency=3)})
        await scorer.open()
        await asyncio.gather(*(scorer.score(subject(str(number))) for number in range(12)))
        await scorer.close()
    assert (server.most_at_once, len(server.bodies)) == (3, 12)


@pytest.mark.parametrize(
    ("step", "kind", "tries"),
    [
        (Answer(status=500), FaultKind.HTTP_5XX, 4),
        (Answer(status=429, body={"error": {"message": "slow down"}}), FaultKind.OVERLOADED, 4),
        (Answer(status=400, body={"error": {"message": "no"}}), FaultKind.GRADER_ERROR, 1),
        (Answer(status=401), FaultKind.GRADER_ERROR, 1),
        (Answer(status=307, headers={"Location": "http://127.0.0.1:9/"}), FaultKind.INVALID_REPLY, 1),
        (Hang(), FaultKind.TIMEOUT, 4),
        (Break(), FaultKind.CONNECTION, 4),
        (Answer(body=b"<html>"), FaultKind.INVALID_REPLY, 4),
        (Answer(body={"choices": []}), FaultKind.INVALID_REPLY, 4),
        (Answer(body=completion("I would say 0.7.")), FaultKind.INVALID_REPLY, 4),
        (Answer(body=completion(None)), FaultKind.INVALID_REPLY, 4),
        (Answer(body=completion('{"a":' * 20_000)), FaultKind.INVALID_REPLY, 4),
        (Answer(body=completion(verdict("high"))), FaultKind.INVALID_SCORE, 4),
        (Answer(body=completion('{"steps": [], "result": NaN}')), FaultKind.INVALID_SCORE, 4),
        (Answer(body=completion('{"steps": [], "result": 1' + "0" * 400 + "}")), FaultKind.INVALID_SCORE, 4),
        (Answer(body=completion(verdict(True))), FaultKind.INVALID_SCORE, 4),
        (Answer(body=completion(None, refusal="I cannot judge this.")), FaultKind.REFUSAL, 1),
        (Answer(body=completion("", finish_reason="content_filter")), FaultKind.REFUSAL, 1),
        (Answer(body=completion('{"steps": [', finish_reason="length")), FaultKind.TRUNCATED, 1),
    ],
)
async def test_a_judge_that_fails_is_a_fault_of_the_grader_and_never_a_zero(step, kind, tries) -> None:
    async with ScriptedEndpoint(step) as server:
        judge = JudgeEndpoint(name="judge", model="m", url=server.url, timeout_s=0.1 if step == Hang() else 30.0)
        fault = await grade(SCORE, judge)
    assert isinstance(fault, Fault)
    assert (fault.owner, fault.kind, fault.where) == (FaultOwner.GRADER_ENDPOINT, kind, "quality")
    assert fault.attempts == tries
    assert len(server.requests) == tries or step == Hang()  # a busy machine may not have read what it gave up on


async def test_a_label_that_is_none_of_the_labels_is_asked_for_again() -> None:
    labels = iter(["excellent", "good"])
    async with judging(lambda body: verdict(next(labels))) as server:
        score = await grade(LABEL, server.endpoint())
    assert (score.reward, len(server.bodies)) == (1.0, 2)


async def test_no_key_gets_into_a_fault() -> None:
    async with judging(lambda body: JSONResponse({"error": "bad key sk-hush-hush"}, 401)) as server:
        judge = server.endpoint()
        fault = await grade(SCORE, judge)
    assert "judge judge: POST http://127.0.0.1" in fault.message
    assert "hush" not in repr(fault) + repr(judge)


async def test_graders_that_ask_one_judge_share_its_turns() -> None:
    multi = {"type": "multi", "graders": {"a": SCORE, "b": SCORE}, "calculate_output": "a + b"}
    async with judging(lambda body: verdict(1.0), pause_s=0.02) as server:
        turns = JudgeTurns()
        given: Any = {"judges": {"judge": server.endpoint(max_concurrency=3)}, "turns": turns}
        scorers = [make_scorer(read_spec(spec), **given) for spec in (SCORE, multi)]
        for scorer in scorers:
            await scorer.open()
        await asyncio.gather(*(scorer.score(subject(str(number))) for number in range(6) for scorer in scorers))
        for scorer in scorers:
            await scorer.close()
    assert (server.most_at_once, len(server.bodies)) == (3, 18)


async def test_a_judge_of_this_platform_is_given_room_for_its_verdict() -> None:
    async with judging(lambda body: verdict(1.0)) as server:
        await grade(SCORE, server.endpoint(text_only=True))
        await grade({**SCORE, "sampling_params": {"max_completions_tokens": 7}}, server.endpoint(text_only=True))
        await grade(SCORE, server.endpoint())
    assert [body.get("max_completion_tokens") for body in server.bodies] == [VERDICT_TOKENS, 7, None]
