"""Rows as the rest of the house sees them: frozen, typed, without a trace of SQL."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Generic, TypeVar

import sqlalchemy as sa

from agentrft.domain.job import JobStatus, Method


@dataclass(frozen=True, slots=True, kw_only=True)
class FileRow:
    id: str
    project_id: str
    filename: str
    purpose: str
    bytes: int
    created_at: int
    expires_at: int | None
    status: str  # processed, error
    status_details: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRow:
    """A job as everybody may see it.

    `request` is the method as asked, `{"type": ..., <type>: {...}}`, secrets masked; `Queue.claim` gives the real ones.
    """

    id: str
    project_id: str
    status: JobStatus
    method: Method
    model: str
    base_model: str
    training_file: str
    validation_file: str | None
    suffix: str | None
    seed: int
    request: Mapping[str, Any]
    metadata: Mapping[str, str] | None
    hyperparameters: Mapping[str, Any] | None
    progress: Mapping[str, Any] | None
    error: Mapping[str, Any] | None
    usage: Mapping[str, Any] | None
    trained_tokens: int | None
    result_files: Sequence[str]
    fine_tuned_model: str | None
    created_at: int
    started_at: int | None
    finished_at: int | None
    estimated_finish: int | None
    worker_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class EventRow:
    id: str
    job_id: str
    created_at: int
    level: str  # info, warn, error
    type: str  # message, metrics, moderation_checks
    message: str
    data: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointRow:
    id: str
    job_id: str
    created_at: int
    step_number: int
    model_name: str
    path: str
    metrics: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRow:
    """A model that can be trained from or sampled. `source` is `package:NAME` or `folder:PATH`."""

    name: str
    base: str  # itself for a base model
    source: str
    base_source: str  # where the weights of `base` are, for adapters
    created_at: int
    project_id: str | None = None  # None: for everybody
    job_id: str | None = None
    step_number: int | None = None

    @property
    def fine_tuned(self) -> bool:
        return self.job_id is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerRow:
    id: str
    device: str
    url: str | None
    token: str | None = field(repr=False)


Element = TypeVar("Element")


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Generic[Element]):
    """Part of a list, in the order asked for."""

    data: Sequence[Element]
    has_more: bool


Row = TypeVar("Row", FileRow, JobRow, EventRow, CheckpointRow, ModelRow)


def read_row(kind: type[Row], row: sa.RowMapping) -> Row:
    values = {item.name: row[item.name] for item in fields(kind)}
    if kind is JobRow:
        values |= {"status": JobStatus(values["status"]), "method": Method(values["method"])}
    return kind(**values)
