"""From rows to OpenAI's objects: the one place that knows both."""

from typing import Any

from agentrft.store import Settings
from agentrft.store.rows import CheckpointRow, EventRow, JobRow, ModelRow
from agentrft.wire.objects import checkpoint_object, event_object, job_object, model_object


def show_job(job: JobRow, settings: Settings) -> dict[str, Any]:
    return job_object(
        id=job.id,
        model=job.model,
        status=job.status.value,
        created_at=job.created_at,
        finished_at=job.finished_at,
        estimated_finish=job.estimated_finish,
        fine_tuned_model=job.fine_tuned_model,
        organization_id=settings.organization,
        result_files=job.result_files,
        training_file=job.training_file,
        validation_file=job.validation_file,
        trained_tokens=job.trained_tokens,
        error=job.error,
        suffix=job.suffix,
        seed=job.seed,
        metadata=job.metadata,
        usage_metrics=job.usage,
        settings=job.request,
        settled=job.hyperparameters,
    )


def show_event(event: EventRow) -> dict[str, Any]:
    return event_object(
        id=event.id,
        created_at=event.created_at,
        level=event.level,
        message=event.message,
        data=event.data,
        type=event.type,
    )


def show_checkpoint(row: CheckpointRow) -> dict[str, Any]:
    return checkpoint_object(
        id=row.id,
        created_at=row.created_at,
        model_name=row.model_name,
        metrics=row.metrics,
        job_id=row.job_id,
        step_number=row.step_number,
    )


def show_model(model: ModelRow, settings: Settings) -> dict[str, Any]:
    owner = settings.organization if model.fine_tuned else "system"
    return model_object(id=model.name, created=model.created_at, owned_by=owner)
