"""A step's flat metrics in the shape of OpenAI's metrics events (API reference, section 2.7), and as a CSV row.

Where OpenAI averages ungradeable episodes in as -1, the means here are over graded episodes: an endpoint that failed
is no reward. The share of what was left out is in `rollouts`.
"""

import csv
import io
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from agentrft.domain.faults import FaultKind, FaultOwner

Metrics = Mapping[str, float]

CSV_COLUMNS = {
    "train_mean_reward": "train_reward_mean",
    "full_valid_mean_reward": "valid_reward_mean",
    "completion_tokens_mean": "train_output_tokens_mean",
    "reasoning_tokens_mean": "train_reasoning_tokens_mean",
    "tool_calls_mean": "train_tool_calls_mean",
    "valid_tool_calls_mean": "valid_tool_calls_mean",
    "train_loss": "train/loss",
}
"""OpenAI's legacy names, which result files and checkpoints use, and ours."""

_SPLITS = ("train", "valid")
_LATENCIES = ("mean", "p50", "p95", "p99")  # OpenAI has the mean alone
_JUDGE_TOKENS = re.compile(r"(?P<split>train|valid)_judge_(?P<kind>prompt|completion|cached)_tokens_(?P<model>.+)")
_ERROR_FLAGS = ("sample_parse_error", "invalid_variable_error", "other_error")
_JUDGE_FLAGS = ("model_grader_server_error", "model_grader_refusal_error", "model_grader_parse_error")
_ERROR_FLAGS_OF = {
    "score_model": _JUDGE_FLAGS,
    "label_model": _JUDGE_FLAGS,
    "ruler": _JUDGE_FLAGS,
    "multi": ("formula_parse_error",),
    "python": ("python_grader_server_error", "python_grader_runtime_error"),
    "endpoint": (
        "endpoint_grader_internal_error",
        "endpoint_grader_server_error",
        "endpoint_grader_safety_check_error",
    ),
}
_JUDGES = ("score_model", "label_model", "ruler")
_JUDGE_FLAG_OF = {
    FaultKind.REFUSAL: "model_grader_refusal_error",
    FaultKind.INVALID_REPLY: "model_grader_parse_error",
    FaultKind.INVALID_SCORE: "model_grader_parse_error",
    FaultKind.TRUNCATED: "other_error",  # these events have no flag for it
}
_WHOLE = "grader"  # where a grading fails that takes too long, whatever the grader's name


def reinforcement_data(
    step: int, total_steps: int, metrics: Metrics, *, tools: Sequence[str], grader: Mapping[str, Any]
) -> dict[str, Any]:
    """The `data` of a metrics event of a reinforcement job. Our own numbers are under `agentrft`, flat."""
    get = metrics.get
    data: dict[str, Any] = {
        "step": step,
        "total_steps": total_steps,
        "usage": {"graders": [], "samples": _samples(metrics)},
        "errors": {"graders": [_grader_errors(metrics, grader)]},
        "scores": {"graders": _grader_scores(metrics, grader), **_reward_means(metrics)},
        "timing": {
            "step": {
                "eval": get("eval_s", 0.0),
                "sampling": get("sampling_s", 0.0),
                "training": get("training_s", 0.0),
                "full_iteration": get("total_s", 0.0),
            },
            "graders": [_grader_timing(metrics, grader)],
        },
        "train_mean_reward": get("train_reward_mean"),
        "full_valid_mean_reward": get("valid_reward_mean"),
        "reasoning_tokens_mean": get("train_reasoning_tokens_mean"),
        "valid_reasoning_tokens_mean": get("valid_reasoning_tokens_mean"),
        "completion_tokens_mean": get("train_output_tokens_mean"),
        "valid_completion_tokens_mean": get("valid_output_tokens_mean"),
        "train_tool_calls_mean": get("train_tool_calls_mean"),
        "valid_tool_calls_mean": get("valid_tool_calls_mean"),
        "full_valid_mean_parse_error": _parse_error(metrics),
        "tools": [_tool(metrics, name) for name in tools],
        "rollouts": {
            "train_total": get("train_rollouts_total", 0.0),
            "train_graded": get("train_rollouts_graded", 0.0),
            "train_discarded": get("train_rollouts_discarded", 0.0),
        },
        "faults": [_faults(metrics, split) for split in _SPLITS if f"{split}_rollouts_total" in metrics],
        "model_graders_token_usage": _judge_tokens(metrics),
        "agentrft": dict(metrics),
    }
    for name in tools:
        for split in _SPLITS:
            data[f"{split}_error_count_{name}"] = get(f"{split}_error_count_{name}", 0.0)
    return {key: value for key, value in data.items() if value is not None}


def supervised_data(step: int, total_steps: int, metrics: Metrics) -> dict[str, Any]:
    """The `data` of a metrics event of a supervised job."""
    return {
        "step": step,
        "total_steps": total_steps,
        "train_loss": metrics.get("train_loss", metrics.get("train/loss")),
        "agentrft": dict(metrics),
    }


def checkpoint_metrics(step: int, metrics: Metrics) -> dict[str, float]:
    """What a checkpoint object shows."""
    named = {name: metrics[ours] for name, ours in CSV_COLUMNS.items() if ours in metrics}
    return {"step": step, **named}


def result_csv(rows: Sequence[tuple[int, Metrics]]) -> bytes:
    """The result file: a row a step, empty cells where a step has no such number."""
    output = io.StringIO()
    writer = csv.writer(output)
    writer.writerow(["step", *CSV_COLUMNS])
    for step, metrics in rows:
        writer.writerow([step, *(metrics.get(ours, "") for ours in CSV_COLUMNS.values())])
    return output.getvalue().encode()


def _samples(metrics: Metrics) -> dict[str, float]:
    samples: dict[str, float] = {}
    for split in ("train", "valid"):
        mean, count = metrics.get(f"{split}_reasoning_tokens_mean"), metrics.get(f"{split}_rollouts_graded")
        if mean is not None and count is not None:
            samples[f"{split}_reasoning_tokens_mean"] = mean
            samples[f"{split}_reasoning_tokens_count"] = round(mean * count)
    return samples


def _grader_scores(metrics: Metrics, grader: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The grader's means, and those of its parts where it has some, by variable."""
    scores = [{"name": grader.get("name"), "type": grader.get("type"), **_reward_means(metrics)}]
    for key, part in (grader.get("graders") or {}).items():
        means = {f"{split}_reward_mean": metrics.get(f"{split}_grader_mean_{key}") for split in _SPLITS}
        found = {name: mean for name, mean in means.items() if mean is not None}
        scores.append({"name": key, "type": part.get("type"), **found})
    return scores


def _judge_tokens(metrics: Metrics) -> dict[str, dict[str, int]]:
    """By judge model; OpenAI calls the validation split `eval` here."""
    usage: dict[str, dict[str, int]] = {}
    for name, count in metrics.items():
        match = _JUDGE_TOKENS.fullmatch(name)
        if match:
            split = "eval" if match["split"] == "valid" else "train"
            usage.setdefault(match["model"], {})[f"{split}_{match['kind']}_tokens"] = round(count)
    return usage


def _reward_means(metrics: Metrics) -> dict[str, float]:
    names = [f"{split}_reward_mean" for split in _SPLITS]
    return {name: metrics[name] for name in names if name in metrics}


def _parse_error(metrics: Metrics) -> float | None:
    if "valid_reward_mean" not in metrics:
        return None
    return metrics.get("valid_grader_error_share_sample_parse_error", 0.0)


def _grader_errors(metrics: Metrics, grader: Mapping[str, Any]) -> dict[str, Any]:
    """Of all gradings, those too that gave no grade: what a grade can say of itself, and what a fault says."""
    errors: dict[str, Any] = {"name": grader.get("name"), "type": grader.get("type")}
    for split in _SPLITS:
        graded = metrics.get(f"{split}_rollouts_graded")
        if graded is None:
            continue
        faulted = _faulted(metrics, split, grader)
        gradings = graded + faulted.total()
        for flag in _flags(grader):
            count = faulted[flag] + round(graded * metrics.get(f"{split}_grader_error_share_{flag}", 0.0))
            errors[f"{split}_{flag}_mean"] = count / gradings if gradings else 0.0
            errors[f"{split}_{flag}_count"] = float(count)
    return errors


def _flags(grader: Mapping[str, Any]) -> Sequence[str]:
    """Those that every grader has, its own, and those of its parts."""
    kinds = [grader, *(grader.get("graders") or {}).values()]
    return tuple(dict.fromkeys((*_ERROR_FLAGS, *(flag for each in kinds for flag in _own_flags(each)))))


def _own_flags(grader: Mapping[str, Any]) -> Sequence[str]:
    return _ERROR_FLAGS_OF.get(str(grader.get("type")), ())


def _faulted(metrics: Metrics, split: str, grader: Mapping[str, Any]) -> Counter[str]:
    """How many gradings failed, by flag, as `graders/run` names them (grading/single.py)."""
    places = {_WHOLE: grader, str(grader.get("name")): grader, **(grader.get("graders") or {})}
    counts: Counter[str] = Counter()
    for where, failed in places.items():
        for kind in FaultKind:
            counts[_flag_of(failed, kind)] += round(metrics.get(f"{split}_grading_faults_{kind}_at_{where}", 0.0))
    return counts


def _flag_of(grader: Mapping[str, Any], kind: FaultKind) -> str:
    if grader.get("type") in _JUDGES:
        return _JUDGE_FLAG_OF.get(kind, "model_grader_server_error")
    return "endpoint_grader_server_error" if grader.get("type") == "endpoint" else "other_error"


def _grader_timing(metrics: Metrics, grader: Mapping[str, Any]) -> dict[str, Any]:
    latency = {
        f"{split}_execution_latency_{of}": metrics[f"{split}_grading_s_{of}"]
        for split in _SPLITS
        for of in _LATENCIES
        if f"{split}_grading_s_{of}" in metrics
    }
    return {"name": grader.get("name"), "type": grader.get("type"), **latency}


def _faults(metrics: Metrics, split: str) -> dict[str, Any]:
    """How many attempts were lost, by owner, by kind, and by the tool or grader that failed."""
    found: dict[str, Any] = {"split": split, "owners": {}, "kinds": {}, "at": {}}
    for name, count in metrics.items():
        for key, prefix in (("at", f"{split}_faults_at_"), ("kinds", f"{split}_faults_kind_")):
            if name.startswith(prefix):
                found[key][name.removeprefix(prefix)] = count
    found["owners"] = {owner.value: metrics.get(f"{split}_faults_{owner}", 0.0) for owner in FaultOwner}
    return found


def _tool(metrics: Metrics, name: str) -> dict[str, Any]:
    tool: dict[str, Any] = {"name": name}
    for split in ("train", "valid"):
        tool[f"{split}_calls_per_rollout_mean"] = metrics.get(f"{split}_tool_calls_mean_{name}")
        for of in _LATENCIES:
            tool[f"{split}_execution_latency_{of}"] = metrics.get(f"{split}_tool_latency_s_{of}_{name}")
        tool[f"{split}_error_count"] = metrics.get(f"{split}_error_count_{name}", 0.0)
    return tool
