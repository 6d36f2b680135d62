"""What another worker needs to go on with a job whose worker has died: one small file beside the job's episodes.

It is written with every checkpoint and appears whole, by rename. What happened after it is done again.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agentrft.domain.training import Checkpoint

NAME = "resume.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class ResumePoint:
    """Where a job stood at its last checkpoint."""

    checkpoint: Checkpoint
    order: Mapping[str, Any]  # ItemOrder.state
    rows: tuple[tuple[int, Mapping[str, float]], ...]  # the steps so far and their metrics
    tokens: float  # trained so far
    seconds: float  # worked so far


def write_resume_point(folder: Path, point: ResumePoint) -> None:
    """Replace the point in `folder`, durably. Blocks."""
    folder.mkdir(parents=True, exist_ok=True)
    content = {
        "step": point.checkpoint.step,
        "path": point.checkpoint.path,
        "metrics": dict(point.checkpoint.metrics),
        "order": dict(point.order),
        "rows": [[step, dict(metrics)] for step, metrics in point.rows],
        "tokens": point.tokens,
        "seconds": point.seconds,
    }
    scratch = folder / f"{NAME}.partial"
    with scratch.open("w") as file:
        json.dump(content, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(scratch, folder / NAME)


def read_resume_point(folder: Path) -> ResumePoint | None:
    """The point in `folder`; None when there is none. Blocks."""
    try:
        content = json.loads((folder / NAME).read_text())
    except FileNotFoundError:
        return None
    return ResumePoint(
        checkpoint=Checkpoint(step=content["step"], path=content["path"], metrics=content["metrics"]),
        order=content["order"],
        rows=tuple((step, metrics) for step, metrics in content["rows"]),
        tokens=content["tokens"],
        seconds=content["seconds"],
    )
