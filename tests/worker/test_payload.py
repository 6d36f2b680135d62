import csv
import io
import json
from typing import Any

import pytest

from agentrft.worker.payload import CSV_COLUMNS, checkpoint_metrics, reinforcement_data, result_csv, supervised_data

GRADER = {"type": "python", "name": "score"}
METRICS = {
    "train_reward_mean": 0.42,
    "train_grader_mean_score": 0.42,
    "train_grading_s_mean": 0.1,
    "train_reasoning_tokens_mean": 3.5,
    "train_output_tokens_mean": 20.0,
    "train_tool_calls_mean": 2.0,
    "train_tool_calls_mean_search": 2.0,
    "train_tool_latency_s_mean_search": 0.25,
    "train_error_count_search": 0.125,
    "train_tool_latency_s_p95_search": 0.75,
    "train_grading_s_p50": 0.05,
    "train_faults_tool_endpoint": 2.0,
    "train_faults_kind_http_5xx": 2.0,
    "train_faults_at_search": 2.0,
    "train_rollouts_total": 66.0,
    "train_rollouts_graded": 64.0,
    "train_rollouts_discarded": 2.0,
    "train_grader_error_share_python_grader_runtime_error": 0.25,
    "train/loss": -0.5,
    "sampling_s": 5.0,
    "training_s": 3.0,
    "eval_s": 0.0,
    "total_s": 8.0,
}
VALID = {
    "valid_reward_mean": 0.68,
    "valid_reasoning_tokens_mean": 1.0,
    "valid_output_tokens_mean": 10.0,
    "valid_rollouts_graded": 20.0,
    "valid_grader_error_share_sample_parse_error": 0.5,
}


def data(metrics: dict[str, float]) -> dict[str, Any]:
    return reinforcement_data(3, 20, metrics, tools=["search"], grader=GRADER)


def test_a_step_with_evaluation_has_every_key_of_openais_event() -> None:
    found = data(METRICS | VALID)
    assert {
        "step", "total_steps", "usage", "errors", "scores", "timing", "train_mean_reward", "full_valid_mean_reward",
        "reasoning_tokens_mean", "valid_reasoning_tokens_mean", "completion_tokens_mean",
        "full_valid_mean_parse_error", "model_graders_token_usage", "tools",
    } <= set(found)  # fmt: skip
    assert (found["step"], found["total_steps"]) == (3, 20)
    assert found["scores"]["train_reward_mean"] == found["train_mean_reward"] == 0.42
    assert found["scores"]["valid_reward_mean"] == found["full_valid_mean_reward"] == 0.68
    assert found["usage"]["samples"] == {
        "train_reasoning_tokens_mean": 3.5, "train_reasoning_tokens_count": 224,
        "valid_reasoning_tokens_mean": 1.0, "valid_reasoning_tokens_count": 20,
    }  # fmt: skip
    assert found["timing"]["step"] == {"eval": 0.0, "sampling": 5.0, "training": 3.0, "full_iteration": 8.0}
    assert found["full_valid_mean_parse_error"] == 0.5


def test_the_grader_has_an_entry_of_its_own_everywhere() -> None:
    found = data(METRICS | VALID)
    for part in ("scores", "timing", "errors"):
        (entry,) = found[part]["graders"]
        assert (entry["name"], entry["type"]) == ("score", "python")
    (scores,), (errors,) = found["scores"]["graders"], found["errors"]["graders"]
    assert (scores["train_reward_mean"], scores["valid_reward_mean"]) == (0.42, 0.68)
    assert errors["train_python_grader_runtime_error_mean"] == 0.25
    assert errors["train_python_grader_runtime_error_count"] == 16.0
    assert errors["valid_sample_parse_error_mean"] == 0.5
    assert errors["valid_sample_parse_error_count"] == 10.0
    for flag in ("sample_parse_error", "invalid_variable_error", "other_error", "python_grader_server_error"):
        assert errors[f"train_{flag}_count"] == 0.0
    assert found["timing"]["graders"][0]["train_execution_latency_mean"] == 0.1


def test_tools_are_told_apart() -> None:
    found = data(METRICS)
    (tool,) = found["tools"]
    assert (tool["name"], tool["train_calls_per_rollout_mean"], tool["train_execution_latency_mean"]) == (
        "search",
        2.0,
        0.25,
    )
    assert (tool["train_error_count"], found["train_error_count_search"]) == (0.125, 0.125)
    assert (tool["train_execution_latency_p95"], tool["train_execution_latency_p99"]) == (0.75, None)


def test_quantiles_of_gradings_stand_beside_their_mean() -> None:
    (timing,) = data(METRICS)["timing"]["graders"]
    assert (timing["train_execution_latency_mean"], timing["train_execution_latency_p50"]) == (0.1, 0.05)
    assert "valid_execution_latency_p50" not in timing


def test_faults_are_counted_by_owner_kind_and_place() -> None:
    (faults,) = data(METRICS)["faults"]
    assert faults == {
        "split": "train",
        "owners": {"tool_endpoint": 2.0, "grader_endpoint": 0.0, "platform": 0.0},
        "kinds": {"http_5xx": 2.0},
        "at": {"search": 2.0},
    }


def test_a_step_without_evaluation_says_nothing_of_it() -> None:
    found = data(METRICS)
    assert "full_valid_mean_reward" not in found
    assert "valid_reasoning_tokens_mean" not in found
    assert "valid_reward_mean" not in found["scores"]
    assert "full_valid_mean_parse_error" not in found


def test_the_data_is_json_and_holds_our_own_numbers_flat() -> None:
    found = json.loads(json.dumps(data(METRICS | VALID), allow_nan=False))
    assert found["agentrft"] == METRICS | VALID
    assert found["rollouts"] == {"train_total": 66.0, "train_graded": 64.0, "train_discarded": 2.0}


@pytest.mark.parametrize("name", ["train_loss", "train/loss"])
def test_supervised_steps_show_their_loss(name: str) -> None:
    found = supervised_data(2, 9, {name: 0.25})
    assert (found["step"], found["total_steps"], found["train_loss"]) == (2, 9, 0.25)


def test_checkpoints_use_openais_legacy_names() -> None:
    assert checkpoint_metrics(5, METRICS | VALID) == {
        "step": 5, "train_mean_reward": 0.42, "full_valid_mean_reward": 0.68, "completion_tokens_mean": 20.0,
        "reasoning_tokens_mean": 3.5, "tool_calls_mean": 2.0, "train_loss": -0.5,
    }  # fmt: skip


def test_the_result_file_has_a_row_a_step_and_empty_cells() -> None:
    rows = list(csv.DictReader(io.StringIO(result_csv([(0, VALID), (1, METRICS)]).decode())))
    assert list(rows[0]) == ["step", *CSV_COLUMNS]
    assert [row["step"] for row in rows] == ["0", "1"]
    assert (rows[0]["full_valid_mean_reward"], rows[0]["train_mean_reward"]) == ("0.68", "")
    assert (rows[1]["full_valid_mean_reward"], rows[1]["train_mean_reward"]) == ("", "0.42")


def test_the_parts_of_a_multi_grader_are_scored_beside_it() -> None:
    multi = {"type": "multi", "name": "m", "graders": {"p": {"type": "python"}, "s": {"type": "score_model"}}}
    parts = {"train_grader_mean_p": 0.25, "valid_grader_mean_p": 0.5, "train_grader_mean_s": 0.75}
    found = reinforcement_data(3, 20, METRICS | VALID | parts, tools=[], grader=multi)
    assert found["scores"]["graders"] == [
        {"name": "m", "type": "multi", "train_reward_mean": 0.42, "valid_reward_mean": 0.68},
        {"name": "p", "type": "python", "train_reward_mean": 0.25, "valid_reward_mean": 0.5},
        {"name": "s", "type": "score_model", "train_reward_mean": 0.75},
    ]


def test_the_tokens_of_judges_are_told_under_openais_names() -> None:
    used = {"train_judge_prompt_tokens_gpt-x": 700.0, "valid_judge_completion_tokens_gpt-x": 30.0}
    found = data(METRICS | used)["model_graders_token_usage"]
    assert found == {"gpt-x": {"train_prompt_tokens": 700, "eval_completion_tokens": 30}}


def errors(grader: dict[str, Any], faults: dict[str, float]) -> dict[str, Any]:
    found = reinforcement_data(3, 20, METRICS | faults, tools=[], grader=grader)
    (entry,) = found["errors"]["graders"]
    return {name: value for name, value in entry.items() if name not in ("name", "type")}


@pytest.mark.parametrize(
    ("kind_of_grader", "fault", "flag"),
    [
        ("score_model", "http_5xx", "model_grader_server_error"),
        ("score_model", "overloaded", "model_grader_server_error"),
        ("label_model", "refusal", "model_grader_refusal_error"),
        ("ruler", "invalid_reply", "model_grader_parse_error"),
        ("score_model", "truncated", "other_error"),
        ("endpoint", "timeout", "endpoint_grader_server_error"),
        ("string_check", "deadline", "other_error"),
    ],
)
def test_a_grader_that_failed_sets_the_flag_of_its_failure(kind_of_grader: str, fault: str, flag: str) -> None:
    found = errors({"type": kind_of_grader, "name": "g"}, {f"train_grading_faults_{fault}_at_g": 16.0})
    assert (found[f"train_{flag}_count"], found[f"train_{flag}_mean"]) == (16.0, 0.2)
    assert sum(value for name, value in found.items() if name.endswith("_count")) == 16.0


def test_a_multi_grader_has_the_flags_of_its_parts() -> None:
    parts = {"judge": {"type": "score_model"}, "mine": {"type": "endpoint"}, "code": {"type": "python"}}
    faults = {
        "train_grading_faults_refusal_at_judge": 1.0,
        "train_grading_faults_timeout_at_mine": 2.0,
        "train_grading_faults_deadline_at_grader": 3.0,
    }
    found = errors({"type": "multi", "name": "m", "graders": parts}, faults)
    assert {name: count for name, count in found.items() if name.endswith("_count") and count} == {
        "train_other_error_count": 3.0,
        "train_python_grader_runtime_error_count": 16.0,
        "train_model_grader_refusal_error_count": 1.0,
        "train_endpoint_grader_server_error_count": 2.0,
    }
    assert found["train_python_grader_runtime_error_mean"] == 16 / 70
    assert "train_formula_parse_error_mean" in found
