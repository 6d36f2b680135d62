"""One grading on a client's behalf: the answer of `POST /v1/fine_tuning/alpha/graders/run` (API reference, 3.9)."""

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any

from agentrft.domain.episode import TokenUsage
from agentrft.domain.errors import UserError
from agentrft.domain.faults import Fault, FaultKind, FaultOwner
from agentrft.domain.ids import new_hex_id
from agentrft.grading.grader import NO_JUDGES, make_scorer
from agentrft.grading.samples import sample_from_text
from agentrft.grading.scoring import Score, Subject
from agentrft.grading.specs import Judges, read_spec
from agentrft.outbound.transport import backoff_s
from agentrft.wire.graders import EndpointGrader, Grader, LabelModelGrader, MultiGrader, ScoreModelGrader

_NO_ERRORS: Mapping[str, bool | None] = {
    "formula_parse_error": False,
    "sample_parse_error": False,
    "sample_parse_error_details": None,
    "truncated_observation_error": False,
    "unresponsive_reward_error": False,
    "invalid_variable_error": False,
    "invalid_variable_error_details": None,
    "other_error": False,
    "python_grader_server_error": False,
    "python_grader_server_error_type": None,
    "python_grader_runtime_error": False,
    "python_grader_runtime_error_details": None,
    "model_grader_server_error": False,
    "model_grader_server_error_details": None,
    "model_grader_refusal_error": False,
    "model_grader_refusal_error_details": None,
    "model_grader_parse_error": False,
    "model_grader_parse_error_details": None,
    "model_grader_exceeded_max_tokens_error": False,
    "endpoint_grader_internal_error": False,
    "endpoint_grader_internal_error_details": None,
    "endpoint_grader_server_error": False,
    "endpoint_grader_server_error_details": None,
    "endpoint_grader_safety_check_error": False,
}

_ENDPOINT_KEYS = frozenset({*EndpointGrader.model_fields, "max_rps"})
_JUDGE_FLAGS = {
    FaultKind.REFUSAL: "model_grader_refusal_error",
    FaultKind.INVALID_REPLY: "model_grader_parse_error",
    FaultKind.INVALID_SCORE: "model_grader_parse_error",
}


async def run_grader(
    spec: Mapping[str, Any] | Grader,
    item: Mapping[str, Any] | None,
    model_sample: str,
    trace_id: str | None = None,
    *,
    judges: Judges = NO_JUDGES,
    backoff_s: Callable[[int], float] = backoff_s,
) -> dict[str, Any]:
    """Grade one output. A grading that fails is a reward of 0.0 with a flag set; so is a judge that there is not.

    Args:
        spec: as it was sent, or as `read_spec` has read it.
        model_sample: the output; `sample.output_json` is filled in whenever it is JSON.
        trace_id: what an endpoint grader is told; made up when absent.
        judges: those that the grader asks, as `find_judges` gives them.

    Raises:
        UserError: the request is malformed (`param` is `grader...`, `item` or `model_sample`), or asks for a ruler,
            which grades groups alone.
    """
    # A long python source takes a while.
    checked = await asyncio.to_thread(read_spec, spec, param="grader") if isinstance(spec, Mapping) else spec
    subject = _read_subject(item, model_sample, trace_id)
    try:
        scorer = make_scorer(checked, judges=judges, param="grader", backoff_s=backoff_s)
    except UserError as error:
        if error.code != "model_not_found":
            raise
        return _respond(checked, Score(reward=0.0), errors=_judge_failed("model_grader_server_error", error.message))
    started = time.perf_counter()
    await scorer.open()
    try:
        outcome = await scorer.score(subject)
    finally:
        await scorer.close()
    seconds = time.perf_counter() - started
    if isinstance(outcome, Fault):
        return _respond(checked, Score(reward=0.0), errors=_fault_errors(checked, outcome), seconds=seconds)
    return _respond(checked, outcome, errors=_score_errors(outcome), seconds=seconds)


def without_extras(spec: Mapping[str, Any]) -> dict[str, Any]:
    """A grader as clients send it here: without its nulls, an endpoint also without keys that only they know of."""
    endpoint = spec.get("type") == "endpoint"
    found = {
        key: value for key, value in spec.items() if value is not None and not (endpoint and key not in _ENDPOINT_KEYS)
    }
    parts = found.get("graders")
    if isinstance(parts, Mapping):
        single = isinstance(parts.get("type"), str)
        found["graders"] = without_extras(parts) if single else {key: _plain(part) for key, part in parts.items()}
    return found


def _plain(part: Any) -> Any:
    return without_extras(part) if isinstance(part, Mapping) else part


def _read_subject(item: Mapping[str, Any] | None, model_sample: str, trace_id: str | None) -> Subject:
    if not isinstance(model_sample, str):
        raise UserError("'model_sample' must be a string.", param="model_sample", code="invalid_type")
    if item is not None and not isinstance(item, Mapping):
        raise UserError("'item' must be an object.", param="item", code="invalid_type")
    trace_id = trace_id or new_hex_id("trace_")
    return Subject(sample=sample_from_text(model_sample, trace_id=trace_id), item=item or {}, trace_id=trace_id)


def _respond(spec: Grader, score: Score, *, errors: Mapping[str, bool | str], seconds: float = 0.0) -> dict[str, Any]:
    return {
        "reward": score.reward,
        "metadata": {
            "name": spec.name,
            "type": spec.type,
            "errors": {**_NO_ERRORS, **errors},
            "execution_time": seconds,
            "scores": {},
            "token_usage": _total(score.usage) if score.usage else None,
            "sampled_model_name": spec.model if isinstance(spec, ScoreModelGrader | LabelModelGrader) else None,
        },
        "sub_rewards": dict(score.parts),
        "model_grader_token_usage_per_model": {model: _show(usage) for model, usage in score.usage.items()},
    }


def _total(usage: Mapping[str, TokenUsage]) -> int:
    return sum(each.prompt_tokens + each.completion_tokens for each in usage.values())


def _show(usage: TokenUsage) -> dict[str, int]:
    return {
        "prompt_tokens": usage.prompt_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "completion_tokens": usage.completion_tokens,
        "cached_tokens": usage.cached_tokens,
    }


def _score_errors(score: Score) -> dict[str, bool | str]:
    flags: dict[str, bool | str] = {}
    for flag, details in score.errors.items():
        flags[flag.value] = True
        if f"{flag.value}_details" in _NO_ERRORS:
            flags[f"{flag.value}_details"] = details
    return flags


def _fault_errors(spec: Grader, fault: Fault) -> dict[str, bool | str]:
    """The flags of the border that failed: the sandbox, a judge or an endpoint."""
    if fault.owner is not FaultOwner.GRADER_ENDPOINT:
        return {"python_grader_server_error": True, "python_grader_server_error_type": "sandbox_error"}
    failed = spec.graders.get(fault.where) if isinstance(spec, MultiGrader) else spec
    if not isinstance(failed, ScoreModelGrader | LabelModelGrader):
        return {"endpoint_grader_server_error": True, "endpoint_grader_server_error_details": fault.message}
    if fault.kind is FaultKind.TRUNCATED:
        return {"model_grader_exceeded_max_tokens_error": True}
    flag = _JUDGE_FLAGS.get(fault.kind, "model_grader_server_error")
    return _judge_failed(flag, fault.message)


def _judge_failed(flag: str, details: str) -> dict[str, bool | str]:
    return {flag: True, f"{flag}_details": details}
