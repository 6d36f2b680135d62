import json

import pytest

from agentrft.domain.errors import UserError
from agentrft.grading import run_grader
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
    ],
)
async def test_a_malformed_request_is_refused(arguments, param) -> None:
    with pytest.raises(UserError) as caught:
        await run_grader(*arguments)
    assert caught.value.param == param
