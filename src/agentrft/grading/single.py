"""One grading on a client's behalf: the answer of `POST /v1/fine_tuning/alpha/graders/run` (API reference, 3.9)."""

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any

from agentrft.domain.errors import UserError
from agentrft.domain.faults import Fault, FaultOwner
from agentrft.domain.ids import new_hex_id
from agentrft.grading.grader import make_scorer
from agentrft.grading.samples import sample_from_text
from agentrft.grading.scoring import Score, Subject
from agentrft.grading.specs import GraderSpec, read_spec
from agentrft.outbound.transport import backoff_s

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


async def run_grader(
    spec: Mapping[str, Any],
    item: Mapping[str, Any] | None,
    model_sample: str,
    trace_id: str | None = None,
    *,
    backoff_s: Callable[[int], float] = backoff_s,
) -> dict[str, Any]:
    """Grade one output. A grading that fails is a reward of 0.0 with a flag set.

    Args:
        model_sample: the output; `sample.output_json` is filled in whenever it is JSON.
        trace_id: what an endpoint grader is told; made up when absent.

    Raises:
        UserError: the request is malformed; `param` is `grader...`, `item` or `model_sample`.
    """
    checked = await asyncio.to_thread(read_spec, spec, param="grader")  # a long python source takes a while
    subject = _read_subject(item, model_sample, trace_id)
    scorer = make_scorer(checked, backoff_s=backoff_s)
    started = time.perf_counter()
    await scorer.open()
    try:
        outcome = await scorer.score(subject)
    finally:
        await scorer.close()
    return _respond(checked, outcome, seconds=time.perf_counter() - started)


def _read_subject(item: Mapping[str, Any] | None, model_sample: str, trace_id: str | None) -> Subject:
    if not isinstance(model_sample, str):
        raise UserError("'model_sample' must be a string.", param="model_sample", code="invalid_type")
    if item is not None and not isinstance(item, Mapping):
        raise UserError("'item' must be an object.", param="item", code="invalid_type")
    trace_id = trace_id or new_hex_id("trace_")
    return Subject(sample=sample_from_text(model_sample), item=item or {}, trace_id=trace_id)


def _respond(spec: GraderSpec, outcome: Score | Fault, *, seconds: float) -> dict[str, Any]:
    errors = _fault_errors(outcome) if isinstance(outcome, Fault) else _score_errors(outcome)
    return {
        "reward": outcome.reward if isinstance(outcome, Score) else 0.0,
        "metadata": {
            "name": spec.name,
            "type": spec.type,
            "errors": {**_NO_ERRORS, **errors},
            "execution_time": seconds,
            "scores": {},
            "token_usage": None,
            "sampled_model_name": None,
        },
        "sub_rewards": {},
        "model_grader_token_usage_per_model": {},
    }


def _score_errors(score: Score) -> dict[str, Any]:
    flags: dict[str, Any] = {}
    for flag, details in score.errors.items():
        flags |= {flag.value: True, f"{flag.value}_details": details}
    return flags


def _fault_errors(fault: Fault) -> dict[str, Any]:
    if fault.owner is FaultOwner.GRADER_ENDPOINT:
        return {"endpoint_grader_server_error": True, "endpoint_grader_server_error_details": fault.message}
    return {"python_grader_server_error": True, "python_grader_server_error_type": "sandbox_error"}
