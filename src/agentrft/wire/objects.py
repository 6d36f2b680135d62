"""OpenAI's objects, key by key. They take plain values, so that they know nothing of how these are kept."""

from collections.abc import Mapping, Sequence
from typing import Any


def file_object(
    *,
    id: str,
    bytes: int,
    created_at: int,
    expires_at: int | None,
    filename: str,
    purpose: str,
    status: str,
    status_details: str | None,
) -> dict[str, Any]:
    return {
        "id": id,
        "object": "file",
        "bytes": bytes,
        "created_at": created_at,
        "expires_at": expires_at,
        "filename": filename,
        "purpose": purpose,
        "status": status,
        "status_details": status_details,
    }


def job_object(
    *,
    id: str,
    model: str,
    status: str,
    created_at: int,
    finished_at: int | None,
    estimated_finish: int | None,
    fine_tuned_model: str | None,
    organization_id: str,
    result_files: Sequence[str],
    training_file: str,
    validation_file: str | None,
    trained_tokens: int | None,
    error: Mapping[str, Any] | None,
    suffix: str | None,
    seed: int,
    metadata: Mapping[str, str] | None,
    usage_metrics: Mapping[str, Any] | None,
    settings: Mapping[str, Any],
    settled: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """A job.

    Args:
        settings: the method with secrets masked, as `JobSpec.masked_settings`.
        settled: hyperparameters that replace every "auto", once a worker has settled them.
    """
    method = with_settled(settings, settled)
    inner = method[method["type"]]
    return {
        "object": "fine_tuning.job",
        "id": id,
        "model": model,
        "created_at": created_at,
        "finished_at": finished_at,
        "fine_tuned_model": fine_tuned_model,
        "organization_id": organization_id,
        "result_files": list(result_files),
        "status": status,
        "validation_file": validation_file,
        "training_file": training_file,
        "trained_tokens": trained_tokens,
        "error": dict(error) if error else None,  # OpenAI sends {}, which its own SDK cannot validate
        "user_provided_suffix": suffix,
        "seed": seed,
        "estimated_finish": estimated_finish,
        "integrations": [],
        "metadata": dict(metadata) if metadata else None,
        "usage_metrics": dict(usage_metrics) if usage_metrics else None,
        "shared_with_openai": False,
        "eval_id": None,
        "hyperparameters": {
            key: inner["hyperparameters"][key] for key in ("n_epochs", "batch_size", "learning_rate_multiplier")
        },
        "method": method,
    }


def with_settled(settings: Mapping[str, Any], settled: Mapping[str, Any] | None) -> dict[str, Any]:
    """`settings` with settled hyperparameters in place of the asked ones; names that OpenAI has not are left out."""
    kind = settings["type"]
    inner = dict(settings[kind])
    asked = inner["hyperparameters"]
    inner["hyperparameters"] = {key: (settled or {}).get(key, value) for key, value in asked.items()}
    return {"type": kind, kind: inner}


def event_object(
    *, id: str, created_at: int, level: str, message: str, data: Mapping[str, Any] | None, type: str
) -> dict[str, Any]:
    return {
        "object": "fine_tuning.job.event",
        "id": id,
        "created_at": created_at,
        "level": level,
        "message": message,
        "data": dict(data) if data is not None else None,
        "type": type,
    }


def checkpoint_object(
    *, id: str, created_at: int, model_name: str, metrics: Mapping[str, float], job_id: str, step_number: int
) -> dict[str, Any]:
    return {
        "object": "fine_tuning.job.checkpoint",
        "id": id,
        "created_at": created_at,
        "fine_tuned_model_checkpoint": model_name,
        "metrics": {"step": step_number, **metrics},
        "fine_tuning_job_id": job_id,
        "step_number": step_number,
    }


def model_object(*, id: str, created: int, owned_by: str) -> dict[str, Any]:
    return {"id": id, "object": "model", "created": created, "owned_by": owned_by}


def deleted_object(id: str, *, kind: str) -> dict[str, Any]:
    return {"id": id, "object": kind, "deleted": True}


def list_object(data: Sequence[Mapping[str, Any]], *, has_more: bool, ends: bool = False) -> dict[str, Any]:
    """A page. `ends` adds `first_id` and `last_id`, which only some of OpenAI's lists have."""
    page: dict[str, Any] = {"object": "list", "data": list(data), "has_more": has_more}
    if ends:
        page |= {"first_id": data[0]["id"] if data else None, "last_id": data[-1]["id"] if data else None}
    return page
