"""The numbers of a step, checked by hand."""

import math
import re
from dataclasses import replace
from typing import Any

import pytest

from agentrft.domain.episode import Grade, GradedEpisode, Message, StopReason, TokenUsage, ToolCall, ToolResult, Turn
from agentrft.domain.job import Penalty
from agentrft.domain.training import Timing, UpdateStats
from agentrft.engine import metrics
from agentrft.engine.collect import Batch
from agentrft.engine.metrics import batch_metrics, episode_metrics, mean_sampled_tokens, step_metrics, update_metrics
from agentrft.engine.summaries import spread
from agentrft.ports import Evaluation
from agentrft.testing import a_graded_episode, a_group, an_episode, an_item, broken_grader

ATTEMPTS = [
    a_graded_episode(1.0, an_episode(an_item(0), sampled_tokens=4, tool_calls=2, tool_latency_s=1.0)),
    a_graded_episode(0.0, an_episode(an_item(0), sampled_tokens=8, stop=StopReason.MAX_TURNS)),
    a_graded_episode(0.5, an_episode(an_item(1), sampled_tokens=6, tool_calls=1, tool_latency_s=0.2)),
    a_graded_episode(None, an_episode(an_item(1), sampled_tokens=50, tool_calls=9, stop=StopReason.FAULT)),
]


def test_means_are_over_graded_attempts_alone() -> None:
    found = episode_metrics("train", ATTEMPTS)
    assert found["train_reward_mean"] == pytest.approx(0.5)
    assert found["train_tool_calls_mean"] == found["train_tool_calls_mean_search"] == 1.0
    assert found["train_output_tokens_mean"] == 6.0
    assert found["train_answered_share"] == pytest.approx(2 / 3)
    assert found["train_stop_share_max_turns"] == pytest.approx(1 / 3)
    assert found["train_tool_latency_s_mean"] == pytest.approx(0.4)
    assert found["train_tool_latency_s_mean_search"] == pytest.approx(0.4)


def test_rollouts_and_faults_are_counted_over_all_attempts() -> None:
    found = episode_metrics("valid", ATTEMPTS)
    assert (found["valid_rollouts_total"], found["valid_rollouts_graded"], found["valid_rollouts_discarded"]) == (
        4,
        3,
        1,
    )
    assert found["valid_faults_tool_endpoint"] == found["valid_faults_at_search"] == 1
    assert found["valid_faults_grader_endpoint"] == found["valid_faults_platform"] == 0
    assert found["valid_error_count_search"] == pytest.approx(1 / 13)
    assert found["valid_sampled_tokens"] == 68
    assert found["valid_tokens"] == 68 + 4 * 3


def test_faults_have_kinds_and_endpoints_have_rates() -> None:
    lost = GradedEpisode(episode=an_episode(tool_calls=1), grade=None, fault=broken_grader())
    found = episode_metrics("train", [*ATTEMPTS, lost])
    assert (found["train_faults_kind_http_5xx"], found["train_faults_kind_invalid_reply"]) == (1, 1)
    assert found["train_replies_of_search"] == 13
    assert found["train_error_count_search"] == pytest.approx(1 / 14)
    assert found["train_grading_fault_share"] == pytest.approx(1 / 4)
    assert found["train_grading_faults_invalid_reply_at_grader"] == 1


def test_quantiles_are_values_that_were_measured() -> None:
    values = [float(n) for n in range(1, 11)]
    assert spread("x", values) == {"x_mean": 5.5, "x_p50": 5.0, "x_p95": 10.0, "x_p99": 10.0}
    assert spread("x", values * 10, of="y") == {"x_mean_y": 5.5, "x_p50_y": 5.0, "x_p95_y": 10.0, "x_p99_y": 10.0}
    assert spread("x", [3.0]) == {"x_mean": 3.0, "x_p50": 3.0, "x_p95": 3.0, "x_p99": 3.0}
    assert spread("x", []) == {}


def test_calls_that_no_endpoint_saw_have_no_latency() -> None:
    refused = ToolResult(call_id="1", name="search", output="no", status=400, is_error=True)
    answered = ToolResult(call_id="2", name="search", output="yes", latency_s=0.5)
    calls = tuple(ToolCall(call_id=result.call_id, name="search", arguments="{}") for result in (refused, answered))
    turn = Turn(message=Message(role="assistant", tool_calls=calls), results=(refused, answered))
    found = episode_metrics("train", [a_graded_episode(0.0, replace(an_episode(), turns=(turn,)))])
    assert found["train_tool_latency_s_mean"] == found["train_tool_latency_s_p99_search"] == 0.5
    assert found["train_replies_of_search"] == 1


def test_the_standard_error_counts_items_and_not_attempts() -> None:
    one_each = [a_graded_episode(reward, an_episode(an_item(n))) for n, reward in enumerate([0.0, 1.0, 1.0, 0.0])]
    assert episode_metrics("valid", one_each)["valid_reward_stderr"] == pytest.approx(math.sqrt(1 / 3) / 2)
    copies = [graded for graded in one_each for _ in range(5)]
    assert episode_metrics("valid", copies)["valid_reward_stderr"] == pytest.approx(math.sqrt(1 / 3) / 2)
    assert "valid_reward_stderr" not in episode_metrics("valid", one_each[:1] * 3)


def test_the_tokens_of_judges_are_added_up_by_model() -> None:
    used = TokenUsage(prompt_tokens=100, completion_tokens=20, cached_tokens=64)
    grades = [Grade(reward=0.0, usage={"gpt-x": used}), Grade(reward=0.0, usage={"gpt-x": used, "o9": TokenUsage()})]
    found = episode_metrics("valid", [GradedEpisode(episode=an_episode(), grade=grade) for grade in grades])
    tokens = {name: value for name, value in found.items() if "_judge_" in name}
    assert tokens == {
        "valid_judge_prompt_tokens_gpt-x": 200, "valid_judge_completion_tokens_gpt-x": 40,
        "valid_judge_cached_tokens_gpt-x": 128, "valid_judge_prompt_tokens_o9": 0,
        "valid_judge_completion_tokens_o9": 0, "valid_judge_cached_tokens_o9": 0,
    }  # fmt: skip


def test_what_is_undefined_is_absent() -> None:
    found = episode_metrics("train", [a_graded_episode(None)])
    assert "train_reward_mean" not in found
    assert "train_tool_latency_s_mean" not in found
    assert found["train_rollouts_graded"] == 0.0


def test_parts_and_flags_of_grades_are_reported_by_name() -> None:
    grades = [
        Grade(reward=1.0, parts={"exact": 1.0, "style": 0.5}, latency_s=0.2),
        Grade(reward=0.0, parts={"exact": 0.0, "style": 0.1}, errors={"sample_parse_error": "no number"}),
    ]
    found = episode_metrics("train", [GradedEpisode(episode=an_episode(), grade=grade) for grade in grades])
    assert found["train_grader_mean_exact"] == 0.5
    assert found["train_grader_mean_style"] == pytest.approx(0.3)
    assert found["train_grader_error_share_sample_parse_error"] == 0.5
    assert found["train_grading_s_mean"] == pytest.approx(0.1)


def test_calls_that_cannot_be_read_and_error_results_have_shares() -> None:
    calls = (
        ToolCall(call_id="1", name="search", arguments="", error="no closing bracket"),
        ToolCall(call_id="2", name="made_up", arguments="{}"),
    )
    results = tuple(ToolResult(call_id=call.call_id, name=call.name, output="no", is_error=True) for call in calls)
    turn = Turn(message=Message(role="assistant", tool_calls=calls), results=results)
    found = episode_metrics("train", [a_graded_episode(0.0, replace(an_episode(), turns=(turn,)))])
    assert found["train_malformed_calls_share"] == 0.5
    assert found["train_tool_errors_share"] == 1.0
    assert found["train_unknown_tool_calls_share"] == 0.5
    assert "train_tool_calls_mean_made_up" not in found


def test_calls_that_do_not_fit_the_schema_are_malformed_too() -> None:
    calls = tuple(ToolCall(call_id=str(n), name="search", arguments="{}") for n in range(4))
    replies: tuple[dict[str, Any], ...] = ({"is_error": True}, {"is_error": True, "latency_s": 0.1}, {})
    results = tuple(
        ToolResult(call_id=call.call_id, name="search", output="", **reply)
        for call, reply in zip(calls, replies, strict=False)
    )
    turn = Turn(message=Message(role="assistant", tool_calls=calls), results=results)
    found = episode_metrics("train", [a_graded_episode(0.0, replace(an_episode(), turns=(turn,)))])
    assert found["train_malformed_calls_share"] == 0.25


def test_groups_without_signal_are_split_into_passed_and_failed() -> None:
    groups = [a_group([1.0, 1.0]), a_group([0.0, 0.0]), a_group([0.1, 0.1]), a_group([1.0, 0.0]), a_group([None])]
    found = batch_metrics(Batch(groups=tuple(groups), useful=(groups[3],)), Penalty())
    assert found["groups_total"] == 5.0
    assert found["useful_groups_share"] == pytest.approx(0.2)
    assert found["zero_variance_share"] == pytest.approx(0.75)
    assert found["zero_variance_all_pass_share"] == pytest.approx(0.25)
    assert found["zero_variance_all_fail_share"] == pytest.approx(0.5)
    assert found["group_std_mean"] == pytest.approx(0.5 / 4)
    assert found["efficiency_share"] == 0.0


def test_the_trainer_s_numbers_are_under_train() -> None:
    stats = UpdateStats(
        loss=0.1, grad_norm=2.0, tokens=10, unique_tokens=20, nominal_tokens=30, metrics={"entropy": 0.5}
    )
    assert update_metrics(stats) == {
        "train/loss": 0.1,
        "train/grad_norm": 2.0,
        "train/tokens": 10.0,
        "train/unique_tokens": 20.0,
        "train/nominal_tokens": 30.0,
        "train/entropy": 0.5,
    }


def test_the_mean_length_of_nothing_is_unknown() -> None:
    assert mean_sampled_tokens(ATTEMPTS) == 6.0
    assert mean_sampled_tokens([a_graded_episode(None)]) is None


def test_every_name_is_a_float_and_documented() -> None:
    group = a_group([1.0, 0.0, None], episodes=[each.episode for each in ATTEMPTS[:3]])
    found = step_metrics(
        batch=Batch(groups=(group,), useful=(group,)),
        stats=UpdateStats(loss=0.1, grad_norm=2.0, tokens=1, unique_tokens=1, nominal_tokens=1),
        evaluation=Evaluation(step=1, episodes=tuple(ATTEMPTS), seconds=1.0),
        timing=Timing(sampling_s=1.0),
        penalty=Penalty(),
    )
    assert all(isinstance(value, float) for value in found.values())
    documentation = metrics.__doc__ or ""
    for name in found:
        general = re.sub(r"^(train|valid)_", "<split>_", name)
        general = re.sub(r"_(p50|p95|p99)", "_<quantile>", general)
        general = re.sub(r"_(search|max_turns|answer|tool_endpoint|grader_endpoint|platform|http_5xx)$", "_<", general)
        assert general in documentation, name
