from dataclasses import replace

import pytest

from agentrft.domain.episode import Grade, StopReason
from agentrft.domain.errors import UserError
from agentrft.domain.faults import Fault, FaultOwner
from agentrft.grading import make_grader
from agentrft.wire.graders import PythonGrader
from tests.grading.judge_server import judging, verdict
from tests.tools.scripted_endpoint import Answer, ScriptedEndpoint

CHECK = {
    "type": "string_check",
    "name": "exact",
    "input": "{{sample.output_text}}",
    "reference": "{{item.reference_answer}}",
    "operation": "eq",
}


async def test_an_episode_is_graded_by_its_answer_and_its_row(make_episode) -> None:
    async with make_grader(CHECK) as grader:
        right, wrong = await grader.grade(make_episode("94")), await grader.grade(make_episode("95"))
    assert isinstance(right, Grade)
    assert isinstance(wrong, Grade)
    assert (right.reward, wrong.reward) == (1.0, 0.0)
    assert (right.parts, right.errors) == ({"exact": 1.0}, {})
    assert right.latency_s > 0


async def test_an_episode_that_reached_a_limit_is_graded_on_what_it_has(make_episode) -> None:
    async with make_grader(CHECK) as grader:
        grade = await grader.grade(make_episode(stop=StopReason.MAX_TURNS))
    assert isinstance(grade, Grade)
    assert grade.reward == 0.0


async def test_a_missing_variable_is_told_in_the_grade(make_episode) -> None:
    async with make_grader({**CHECK, "reference": "{{item.target}}"}) as grader:
        grade = await grader.grade(make_episode())
    assert isinstance(grade, Grade)
    assert grade.errors == {"invalid_variable_error": "item.target: there is no 'target' here"}


async def test_output_json_is_there_when_the_job_has_a_response_format(make_episode) -> None:
    spec = {**CHECK, "input": "{{sample.output_json.answer}}"}
    episode = make_episode('{"answer": "94"}')
    text = {"type": "text"}
    async with (
        make_grader(spec, response_format={"type": "json_object"}) as structured,
        make_grader(spec, response_format=text) as plain,
    ):
        with_format, without = await structured.grade(episode), await plain.grade(episode)
    assert isinstance(with_format, Grade)
    assert isinstance(without, Grade)
    assert (with_format.reward, without.reward) == (1.0, 0.0)
    assert "invalid_variable_error" in without.errors


async def test_a_python_grader_sees_the_way_to_the_answer(make_episode) -> None:
    source = (
        "def grade(sample, item):\n"
        "    calls = sum(len(turn['tool_calls']) for turn in sample['agentrft']['turns'])\n"
        "    return float(sample['output_text'] == item['reference_answer']) - 0.1 * calls\n"
    )
    async with make_grader({"type": "python", "name": "mine", "source": source}) as grader:
        grade = await grader.grade(make_episode())
    assert isinstance(grade, Grade)
    assert grade.parts == {"mine": pytest.approx(0.9)}


async def test_a_python_grader_that_raises_gives_a_flagged_zero(make_episode) -> None:
    source = "def grade(sample, item):\n    return 1 / 0\n"
    async with make_grader({"type": "python", "source": source}) as grader:
        grade = await grader.grade(make_episode())
    assert isinstance(grade, Grade)
    assert (grade.reward, grade.errors) == (
        0.0,
        {"python_grader_runtime_error": "ZeroDivisionError: division by zero (line 2)"},
    )


async def test_a_sandbox_that_fails_is_a_fault_of_the_platform(make_episode, monkeypatch) -> None:
    monkeypatch.setattr("sys.executable", "/nonexistent/python")
    async with make_grader({"type": "python", "source": "def grade(sample, item): return 1.0"}) as grader:
        fault = await grader.grade(make_episode())
    assert isinstance(fault, Fault)
    assert fault.owner is FaultOwner.PLATFORM


async def test_an_endpoint_grader_is_told_the_trace_id_of_the_episode(make_episode, row) -> None:
    async with ScriptedEndpoint(Answer(body={"score": 0.25})) as server:
        async with make_grader({"type": "endpoint", "name": "mine", "url": server.url}) as grader:
            grade = await grader.grade(make_episode())
        [request] = server.requests
    assert isinstance(grade, Grade)
    assert (grade.reward, grade.parts) == (0.25, {"mine": 0.25})
    assert (request.body["trace_id"], request.body["item"]) == ("trace_0123", row)
    assert request.body["sample"]["output_tools"][0]["id"] == "call_1"
    assert request.body["sample"]["agentrft"]["stop_reason"] == "answer"


async def test_an_endpoint_grader_that_fails_is_a_fault(make_episode) -> None:
    async with ScriptedEndpoint(Answer(status=500)) as server:
        spec = {"type": "endpoint", "name": "mine", "url": server.url}
        async with make_grader(spec, backoff_s=lambda attempt: 0.0) as grader:
            fault = await grader.grade(replace(make_episode(), attempt=3))
    assert isinstance(fault, Fault)
    assert (fault.owner, fault.where) == (FaultOwner.GRADER_ENDPOINT, "mine")


def test_a_grader_that_does_not_validate_is_not_made() -> None:
    with pytest.raises(UserError) as caught:
        make_grader({**CHECK, "operation": "is"})
    assert caught.value.param == "method.reinforcement.grader.operation"


async def test_the_parts_of_a_multi_grader_are_kept_under_their_own_names(make_episode) -> None:
    spec = {
        "type": "multi",
        "graders": {"exact": CHECK, "loose": CHECK | {"operation": "ne"}},
        "calculate_output": "1-loose",
    }
    async with make_grader(spec) as grader:
        grade = await grader.grade(make_episode("94"))
    assert isinstance(grade, Grade)
    assert (grade.reward, grade.parts) == (1.0, {"exact": 1.0, "loose": 0.0})


async def test_graders_are_not_shown_the_way_to_the_answer_where_the_job_says_so(make_episode) -> None:
    source = "def grade(sample, item):\n    return float('agentrft' in sample)\n"
    async with make_grader({"type": "python", "source": source}, sees_trace=False) as grader:
        grade = await grader.grade(make_episode())
    assert isinstance(grade, Grade)
    assert grade.reward == 0.0


async def test_what_a_judge_used_is_told_in_the_grade(make_episode) -> None:
    ask = [{"role": "user", "content": "{{sample.output_text}}"}]
    async with judging(lambda body: verdict(0.5)) as server:
        judges = {"judge": server.endpoint()}
        async with make_grader({"type": "score_model", "model": "judge", "input": ask}, judges=judges) as grader:
            grade = await grader.grade(make_episode())
    assert isinstance(grade, Grade)
    assert grade.usage["judge"].completion_tokens == 20


def test_a_specification_that_was_read_is_not_read_again() -> None:
    broken = PythonGrader(type="python", name="mine", source="def (")
    with pytest.raises(UserError):
        make_grader(broken.model_dump())
    assert make_grader(broken).name == "mine"
