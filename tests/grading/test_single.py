import json
from typing import Any

import pytest
from fastapi.responses import JSONResponse

from agentrft.domain.errors import UserError
from agentrft.grading import run_grader, without_extras
from tests.grading.judge_server import completion, judging, verdict
from tests.tools.scripted_endpoint import Answer, ScriptedEndpoint

SPEC_ERRORS = {  # every key that the official schema requires or a real reply has shown
    "formula_parse_error",
    "sample_parse_error",
    "sample_parse_error_details",
    "truncated_observation_error",
    "unresponsive_reward_error",
    "invalid_variable_error",
    "invalid_variable_error_details",
    "other_error",
    "python_grader_server_error",
    "python_grader_server_error_type",
    "python_grader_runtime_error",
    "python_grader_runtime_error_details",
    "model_grader_server_error",
    "model_grader_server_error_details",
    "model_grader_refusal_error",
    "model_grader_refusal_error_details",
    "model_grader_parse_error",
    "model_grader_parse_error_details",
    "model_grader_exceeded_max_tokens_error",
    "endpoint_grader_internal_error",
    "endpoint_grader_internal_error_details",
    "endpoint_grader_server_error",
    "endpoint_grader_server_error_details",
    "endpoint_grader_safety_check_error",
}
CHECK = {"type": "string_check", "input": "{{sample.output_json.a}}", "reference": "{{item.a}}", "operation": "eq"}

SCORE = {"type": "score_model", "name": "s", "model": "judge", "input": [{"role": "user", "content": "{{item.a}}"}]}


def raised(response) -> dict[str, object]:
    return {key: value for key, value in response["metadata"]["errors"].items() if value}


async def test_the_answer_has_every_documented_field() -> None:
    response = await run_grader({**CHECK, "name": "c"}, {"a": "x"}, '{"a": "x"}')
    seconds = response["metadata"].pop("execution_time")
    assert seconds > 0
    assert set(response["metadata"].pop("errors")) == SPEC_ERRORS
    assert response == {
        "reward": 1.0,
        "metadata": {
            "name": "c",
            "type": "string_check",
            "scores": {},
            "token_usage": None,
            "sampled_model_name": None,
        },
        "sub_rewards": {},
        "model_grader_token_usage_per_model": {},
    }


async def test_the_reward_is_written_as_a_float() -> None:
    response = await run_grader({"type": "python", "source": "def grade(sample, item): return 1"}, None, "")
    assert '"reward": 1.0' in json.dumps(response)
    assert raised(response) == {}


async def test_a_missing_variable_is_flagged() -> None:
    response = await run_grader(CHECK, {"a": "x"}, "no json")
    assert response["reward"] == 0.0
    assert raised(response) == {
        "invalid_variable_error": True,
        "invalid_variable_error_details": "sample.output_json.a: there is no 'a' here",
    }


async def test_a_python_error_is_flagged() -> None:
    source = "def grade(sample, item):\n    raise ValueError(item['a'])"
    response = await run_grader({"type": "python", "source": source}, {"a": "x"}, "")
    assert raised(response) == {
        "python_grader_runtime_error": True,
        "python_grader_runtime_error_details": "ValueError: x (line 2)",
    }


async def test_a_sandbox_that_fails_is_flagged_as_ours(monkeypatch) -> None:
    monkeypatch.setattr("sys.executable", "/nonexistent/python")
    response = await run_grader({"type": "python", "source": "def grade(sample, item): return 1"}, {}, "")
    assert raised(response) == {
        "python_grader_server_error": True,
        "python_grader_server_error_type": "sandbox_error",
    }


async def test_an_endpoint_that_fails_is_flagged() -> None:
    async with ScriptedEndpoint(Answer(status=500)) as server:
        response = await run_grader({"type": "endpoint", "url": server.url}, {}, "", backoff_s=lambda attempt: 0.0)
    assert response["reward"] == 0.0
    assert raised(response)["endpoint_grader_server_error"] is True


@pytest.mark.parametrize("trace_id", ["trace_abc", None])
async def test_an_endpoint_is_told_a_trace_id(trace_id) -> None:
    async with ScriptedEndpoint(Answer(body={"score": 0.5})) as server:
        response = await run_grader({"type": "endpoint", "url": server.url}, {"a": 1}, "text", trace_id)
        [request] = server.requests
    assert response["reward"] == 0.5
    assert request.body["trace_id"].startswith(trace_id or "trace_")
    assert (request.body["item"], request.body["sample"]["output_text"]) == ({"a": 1}, "text")


@pytest.mark.parametrize(
    ("arguments", "param"),
    [
        (({"type": "python"}, {}, ""), "grader.source"),
        ((CHECK, [], ""), "item"),
        ((CHECK, {}, {"text": "x"}), "model_sample"),
        (({"type": "ruler", "model": "judge"}, {}, ""), "grader.type"),
    ],
)
async def test_a_malformed_request_is_refused(arguments, param) -> None:
    with pytest.raises(UserError) as caught:
        await run_grader(*arguments)
    assert caught.value.param == param


async def run_judged(spec: dict[str, Any], answer: Any) -> dict[str, Any]:
    async with judging(lambda body: answer) as server:
        judges = {"judge": server.endpoint()}
        return await run_grader(spec, {"a": "x"}, "", judges=judges, backoff_s=lambda attempt: 0.0)


async def test_a_judge_is_named_with_the_tokens_it_used() -> None:
    response = await run_judged(SCORE, verdict(1))
    assert '"reward": 1.0' in json.dumps(response)
    assert (response["metadata"]["token_usage"], response["metadata"]["sampled_model_name"]) == (120, "judge")
    assert response["model_grader_token_usage_per_model"] == {
        "judge": {"prompt_tokens": 100, "total_tokens": 120, "completion_tokens": 20, "cached_tokens": 64}
    }


@pytest.mark.parametrize(
    ("answer", "flag", "said"),
    [
        ("no idea", "model_grader_parse_error", "it answers without a JSON object: no idea"),
        (verdict("high"), "model_grader_parse_error", "no finite number under 'result'"),
        (completion(None, refusal="I will not."), "model_grader_refusal_error", "I will not."),
        (JSONResponse({"error": "down"}, 500), "model_grader_server_error", "HTTP 500"),
    ],
)
async def test_a_judge_that_fails_is_flagged_by_how(answer, flag, said) -> None:
    label = {**SCORE, "type": "label_model", "labels": ["a"], "passing_labels": ["a"]}
    multi = {"type": "multi", "graders": {"part": SCORE}, "calculate_output": "part"}
    for spec in (SCORE, label, multi):
        response = await run_judged(spec, answer)
        errors = raised(response)
        assert response["reward"] == 0.0
        assert errors.pop(flag) is True
        assert set(errors) == {f"{flag}_details"}
        assert said in errors[f"{flag}_details"] or spec is label


async def test_a_judge_without_room_for_its_answer_is_flagged() -> None:
    response = await run_judged(SCORE, completion("{", finish_reason="length"))
    assert raised(response) == {"model_grader_exceeded_max_tokens_error": True}


async def test_the_parts_of_a_multi_grader_are_its_sub_rewards() -> None:
    check = {**CHECK, "input": "{{item.a}}"}
    python = {"type": "python", "source": "def grade(sample, item): return 3"}
    multi = {"type": "multi", "graders": {"p": python, "c": check}, "calculate_output": "p / (1 - c)"}
    response = await run_grader(multi, {"a": "x"}, "")
    assert (response["reward"], response["sub_rewards"]) == (0.0, {"p": 3.0, "c": 1.0})
    assert raised(response) == {"formula_parse_error": True}
    response = await run_grader({**multi, "calculate_output": "p / c"}, {"a": "x"}, "")
    assert (response["reward"], raised(response)) == (3.0, {})
    assert response["metadata"]["token_usage"] is None


async def test_a_judge_that_there_is_not_is_flagged() -> None:
    multi = {"type": "multi", "graders": {"part": SCORE}, "calculate_output": "part"}
    for spec in (SCORE, multi):
        response = await run_grader(spec, {"a": "x"}, "")
        assert (response["reward"], response["metadata"]["type"]) == (0.0, spec["type"])
        assert raised(response) == {
            "model_grader_server_error": True,
            "model_grader_server_error_details": "There is no judge 'judge' for the grader 's'.",
        }


def test_what_clients_send_beside_a_grader_is_left_out() -> None:
    endpoint = {"type": "endpoint", "url": "http://x", "max_rps": 5, "pass_threshold": None}
    assert without_extras({**endpoint, "inactive_at": None, "id": "e-1"}) == {
        "type": "endpoint", "url": "http://x", "max_rps": 5,
    }  # fmt: skip
    assert without_extras({**CHECK, "pass_threshold": None, "id": "c-1"}) == {**CHECK, "id": "c-1"}  # to be refused
    part = {**endpoint, "id": "e-1"}
    multi = {"type": "multi", "graders": {"e": part, "n": None}, "calculate_output": "e"}
    assert without_extras(multi)["graders"] == {"e": without_extras(part), "n": None}
    assert without_extras({**multi, "graders": {**part, "name": "e"}})["graders"] == {
        **without_extras(part), "name": "e",
    }  # fmt: skip
