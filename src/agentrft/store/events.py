"""What a job says while it lives. The messages are OpenAI's own, verbatim: scripts match on them."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from agentrft.domain.ids import new_id
from agentrft.store.finite import finite
from agentrft.store.schema import events

VALIDATED = "Files validated, moving job to queued state"
STARTED = "Fine-tuning job started"
RESUMED = "Fine-tuning job resumed: its worker had stopped"
SUCCEEDED = "The job has successfully completed"
CANCELLED = "The job has been cancelled"


def created(job_id: str) -> str:
    return f"Created fine-tuning job: {job_id}"


def validating(training_file: str, validation_file: str | None) -> str:
    files = f"training file: {training_file}"
    return f"Validating {files} and validation file: {validation_file}" if validation_file else f"Validating {files}"


def checkpoint_created(step: int, name: str) -> str:
    return f"Checkpoint created at step {step} with Snapshot ID: {name}"


def model_created(name: str) -> str:
    return f"New fine-tuned model created: {name}"


def step_message(
    step: int,
    total_steps: int,
    *,
    train_reward: float | None,
    valid_reward: float | None = None,
    parse_error: float = 0.0,
) -> str:
    """The message of a metrics event of a reinforcement job; `valid_reward` only where validation ran."""
    parts = [f"Step {step}/{total_steps} "]
    if train_reward is not None:
        parts.append(f"train mean reward={train_reward:.2f}")
    if valid_reward is not None:
        parts.append(f"full validation mean reward={valid_reward:.2f}")
        parts.append(f"full validation mean parse error={parse_error:.2f}")
    return ", ".join(parts)


async def append_event(
    connection: AsyncConnection,
    job_id: str,
    message: str,
    *,
    now: int,
    level: str = "info",
    type: str = "message",
    data: Mapping[str, Any] | None = None,
) -> None:
    """Add an event; the order of calls is the order of events."""
    values = {
        "id": new_id("ftevent-"),
        "job_id": job_id,
        "created_at": now,
        "level": level,
        "type": type,
        "message": message.encode(errors="replace").decode(),  # an endpoint's words may hold half a surrogate pair
        "data": finite(data),
    }
    await connection.execute(events.insert().values(values))
