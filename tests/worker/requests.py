"""Jobs as the API would have put them into the store, and the rows that they read."""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from agentrft.domain.job import JobStatus, Method
from agentrft.store import Store
from agentrft.store.jobs import NewJob, Submission
from agentrft.store.keys import DEFAULT_PROJECT
from agentrft.store.queue import Claim
from agentrft.store.rows import JobRow, ModelRow

GRADER = {
    "type": "python",
    "name": "odd",
    "source": "def grade(sample, item):\n    return float(sample['agentrft']['attempt'] % 2)\n",  # every group differs
}
SEARCH = {
    "type": "function",
    "function": {
        "name": "search",
        "description": "Find.",
        "parameters": {"type": "object", "properties": {"query": {"type": "string"}}, "required": ["query"]},
    },
}
ASK = {"messages": [{"role": "user", "content": "Revenue?"}], "tools": [SEARCH], "reference_answer": "42"}
CALL = {"id": "call_1", "type": "function", "function": {"name": "search", "arguments": '{"query": "revenue"}'}}
SHOWN = {
    "messages": [
        {"role": "user", "content": "Revenue?"},
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "call_1", "content": "It was 42."},
        {"role": "assistant", "content": "42"},
    ],
    "tools": [SEARCH],
}


def a_claim(method: Method = Method.REINFORCEMENT, **asked: Any) -> Claim:
    """A claimed job without a store; `asked` is the method's part of the request."""
    given = {"grader": GRADER, **asked} if method is Method.REINFORCEMENT else asked
    job = JobRow(
        id="ftjob-1",
        project_id=DEFAULT_PROJECT,
        status=JobStatus.RUNNING,
        method=method,
        model="tiny",
        base_model="tiny",
        training_file="file-train",
        validation_file="file-valid",
        suffix="demo",
        seed=7,
        request={},
        metadata=None,
        hyperparameters=None,
        progress=None,
        error=None,
        usage=None,
        trained_tokens=None,
        result_files=(),
        fine_tuned_model=None,
        created_at=0,
        started_at=0,
        finished_at=None,
        estimated_finish=None,
        worker_id="worker",
    )
    return Claim(
        job=job,
        request={"type": method.value, method.value: given},
        training_path=Path("training.jsonl"),
        validation_path=Path("validation.jsonl"),
        model=ModelRow(name="tiny", base="tiny", source="folder:x", base_source="folder:x", created_at=0),
        resumed=False,
    )


async def submit(
    store: Store,
    method: Method,
    asked: Mapping[str, Any],
    *,
    rows: Sequence[Mapping[str, Any]],
    validation: Sequence[Mapping[str, Any]] | None = None,
    model: str = "tiny",
) -> str:
    """Create a job and enqueue it; returns its id."""
    training = await upload(store, rows)
    request = {"type": method.value, method.value: dict(asked)}
    job = await store.jobs.create(
        NewJob(
            project_id=DEFAULT_PROJECT,
            method=method,
            model=model,
            base_model=model,
            training_file=training,
            validation_file=await upload(store, validation) if validation else None,
            suffix="demo",
            seed=7,
            metadata=None,
            request=request,
            secret_request=request,
            submission=Submission(request_hash=training),
        )
    )
    await store.jobs.enqueue(job.id)
    return job.id


async def upload(store: Store, rows: Sequence[Mapping[str, Any]]) -> str:
    async def content() -> AsyncIterator[bytes]:
        yield "".join(json.dumps(row) + "\n" for row in rows).encode()

    draft = await store.files.receive(content())
    file = await store.files.adopt(draft, project_id=DEFAULT_PROJECT, filename="rows.jsonl", purpose="fine-tune")
    return file.id
