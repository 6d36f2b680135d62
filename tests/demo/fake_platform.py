"""A small server of OpenAI's shape on a loopback port, which plays jobs by a script instead of training anything."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from agentrft.demo.processes import free_port

KEY = "sk-rft-fake"


@dataclass(kw_only=True)
class FakePlatform:
    """What it has been sent, and what it will answer. Each look at a job reveals one more of `script`'s events."""

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    purposes: dict[str, str] = field(default_factory=dict)
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    script: list[dict[str, Any]] = field(default_factory=list)
    final_status: str = "succeeded"
    final_error: dict[str, Any] | None = None
    progress: dict[str, Any] | None = None
    replies: list[list[dict[str, Any]]] = field(default_factory=list)  # `output` of each response
    asked: list[dict[str, Any]] = field(default_factory=list)
    revealed: dict[str, int] = field(default_factory=dict)

    def job(self, number: int, **changes: Any) -> dict[str, Any]:
        job = {
            "id": f"ftjob-{number}",
            "object": "fine_tuning.job",
            "created_at": 1_700_000_000 + number,
            "finished_at": None,
            "fine_tuned_model": None,
            "model": "SmolLM2-135M-Instruct",
            "organization_id": "org-local",
            "result_files": [],
            "seed": 0,
            "status": "running",
            "training_file": "file-1",
            "validation_file": None,
            "trained_tokens": None,
            "error": None,
            "hyperparameters": {"n_epochs": 1},
            "method": {"type": "reinforcement"},
        }
        return {**job, **changes}

    def look(self, job_id: str) -> dict[str, Any]:
        job = self.jobs[job_id]
        if job["status"] == "running":
            self.revealed[job_id] = self.revealed.get(job_id, 0) + 1
            if self.revealed[job_id] > len(self.script):
                job["status"] = self.final_status
                job["error"] = self.final_error
                if self.final_status == "succeeded":
                    job["fine_tuned_model"] = f"ft:{job['model']}:local:demo:{job_id[-8:]}"
        return job

    def events(self, job_id: str) -> list[dict[str, Any]]:
        shown = self.script[: self.revealed.get(job_id, len(self.script))]
        return [
            {
                "id": f"ftevent-{number}",
                "object": "fine_tuning.job.event",
                "created_at": 1_700_000_000 + number,
                "level": "info",
                "type": "metrics" if event else "message",
                "message": f"event {number}",
                "data": event,
            }
            for number, event in enumerate(shown)
        ][::-1]


def metrics(step: int, total: int, **ours: float) -> dict[str, Any]:
    """The data of a metrics event with our block."""
    return {"step": step, "total_steps": total, "agentrft": ours}


@contextmanager
def serving(app: FastAPI) -> Iterator[str]:
    """Run an app on a loopback port in a thread; its address."""
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="error", ws="none"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        until = time.monotonic() + 10
        while not server.started:
            assert thread.is_alive()
            assert time.monotonic() < until
            threading.Event().wait(0.01)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()


@contextmanager
def fake_platform(**script: Any) -> Iterator[FakePlatform]:
    platform = FakePlatform(**script)
    with serving(_app(platform)) as url:
        platform.url = url
        yield platform


def _error(status: int, message: str, code: str) -> JSONResponse:
    error = {"message": message, "type": "invalid_request_error", "param": None, "code": code}
    return JSONResponse({"error": error}, status)


def _list(data: list[Any], **more: Any) -> dict[str, Any]:
    return {"object": "list", "data": data, "has_more": False, **more}


def _app(platform: FakePlatform) -> FastAPI:
    app = FastAPI()

    @app.middleware("http")
    async def authorised(request: Request, call_next: Any) -> Any:
        if request.headers.get("authorization") != f"Bearer {KEY}":
            return _error(401, "Incorrect API key provided.", "invalid_api_key")
        return await call_next(request)

    _files(app, platform)
    _jobs(app, platform)

    @app.get("/v1/models")
    async def models() -> Any:
        return _list([{"id": "SmolLM2-135M-Instruct", "object": "model", "created": 1, "owned_by": "agentrft"}])

    @app.post("/v1/responses")
    async def respond(request: Request) -> Any:
        body = await request.json()
        platform.asked.append(body)
        return {
            "id": "resp_1",
            "object": "response",
            "created_at": 1,
            "model": body["model"],
            "output": platform.replies.pop(0),
            "parallel_tool_calls": True,
            "tool_choice": "auto",
            "tools": [],
            "status": "completed",
        }

    return app


def _files(app: FastAPI, platform: FakePlatform) -> None:
    def described(file_id: str) -> dict[str, Any]:
        return {
            "id": file_id,
            "object": "file",
            "bytes": len(platform.files[file_id]),
            "created_at": 1,
            "filename": f"{file_id}.jsonl",
            "purpose": platform.purposes[file_id],
            "status": "processed",
        }

    @app.post("/v1/files")
    async def create(request: Request) -> Any:
        async with request.form() as form:
            file_id = f"file-{len(platform.files) + 1}"
            platform.files[file_id] = await form["file"].read()  # type: ignore[union-attr]
            platform.purposes[file_id] = str(form["purpose"])
        return described(file_id)

    @app.get("/v1/files")
    async def files() -> Any:
        return _list([described(file_id) for file_id in platform.files])

    @app.delete("/v1/files/{file_id}")
    async def delete(file_id: str) -> Any:
        if file_id not in platform.files:
            return _error(404, f"No such File object: {file_id}", "file_not_found")
        del platform.files[file_id]
        return {"id": file_id, "object": "file", "deleted": True}


def _jobs(app: FastAPI, platform: FakePlatform) -> None:
    root = "/v1/fine_tuning/jobs"

    @app.post(root)
    async def create(request: Request) -> Any:
        body = await request.json()
        job = platform.job(len(platform.jobs) + 1, **{key: body[key] for key in ("model", "method", "training_file")})
        platform.jobs[job["id"]] = job
        return job

    @app.get(root)
    async def jobs() -> Any:
        return _list(list(platform.jobs.values())[::-1])

    @app.get(root + "/{job_id}")
    async def retrieve(job_id: str) -> Any:
        if job_id not in platform.jobs:
            return _error(404, f"Could not find fine tune: {job_id}", "fine_tune_not_found")
        return platform.look(job_id)

    @app.post(root + "/{job_id}/cancel")
    async def cancel(job_id: str) -> Any:
        platform.jobs[job_id]["status"] = "cancelled"
        return platform.jobs[job_id]

    @app.get(root + "/{job_id}/events")
    async def events(job_id: str, limit: int = 20, after: str | None = None) -> Any:
        found = platform.events(job_id)
        start = next((place + 1 for place, event in enumerate(found) if event["id"] == after), 0)
        return {**_list(found[start : start + limit]), "has_more": start + limit < len(found)}

    @app.get(root + "/{job_id}/checkpoints")
    async def checkpoints(job_id: str) -> Any:
        return _list([])

    @app.get("/agentrft/v1/jobs/{job_id}/progress")
    async def progress(job_id: str) -> Any:
        return {"object": "agentrft.job.progress", "job_id": job_id, "progress": platform.progress}
