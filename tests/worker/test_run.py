import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI, Request
from fastapi.responses import RedirectResponse
from mcp.server.lowlevel import Server as McpLowLevelServer
from mcp_types import CallToolRequestParams, CallToolResult, ListToolsResult, TextContent
from mcp_types import Tool as McpTool

from agentrft.domain.job import JobStatus, Method
from agentrft.outbound.signature import Signer
from agentrft.store import Store, open_store
from agentrft.store.episodes import EpisodeFiles
from agentrft.store.keys import DEFAULT_PROJECT
from agentrft.store.rows import JobRow, ModelRow
from agentrft.store.settings import JudgeSettings
from agentrft.worker.models import LoadedModel, ModelLoader
from agentrft.worker.resume import read_resume_point
from agentrft.worker.run import run_claim
from agentrft.worker.serving import Serving, create_serving_app
from tests.grading.judge_server import judging
from tests.server.conftest import serving
from tests.worker.requests import ASK, GRADER, SHOWN, submit

DEADLINE_S = 120
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
LESSONS = {
    "hyperparameters": {"batch_size": 1, "n_epochs": 50},
    "agentrft": {"full_weights": True, "learning_rate": 0.01},
}
SHORT = {"full_weights": True, "max_steps": 2, "group_size": 4, "max_turn_tokens": 40, "learning_rate": 0.001}


@dataclass
class ToolServer:
    app: FastAPI = field(default_factory=FastAPI)
    calls: list[dict[str, Any]] = field(default_factory=list)
    episodes: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        @self.app.post("/search")
        async def search(request: Request) -> dict[str, str]:
            signed = await is_signed(request)
            authorization = request.headers.get("authorization")
            self.calls.append({"authorization": authorization, "signed": signed, **await request.json()})
            return {"type": "function_call_output", "output": "It was 42."}

        @self.app.post("/episodes", status_code=204)
        async def episode(request: Request) -> None:
            self.episodes.append({"signed": await is_signed(request), **await request.json()})


async def is_signed(request: Request) -> bool:
    """As a server that knows the secret of the job would check it."""
    sent = request.headers
    if "webhook-signature" not in sent:
        return False
    expected = Signer(SECRET).headers(
        sent["webhook-id"], timestamp_s=int(sent["webhook-timestamp"]), body=await request.body()
    )
    return sent["webhook-signature"] == expected["webhook-signature"]


def reinforcement(url: str, **agentrft: Any) -> dict[str, Any]:
    tool = {"name": "search", "server_url": f"{url}/search", "headers": {"Authorization": "Bearer hush"}}
    return {
        "tools": [tool],
        "grader": GRADER,
        "max_episode_steps": 3,
        "hyperparameters": {"batch_size": 2, "eval_interval": 1, "eval_samples": 1},
        "agentrft": {**SHORT, **agentrft},
    }


async def work(store: Store, loader: ModelLoader) -> str:
    """Claim the next job and run it to its end."""
    worker = await store.workers.register(device="cpu")
    claim = await store.queue.claim(worker)
    assert claim is not None
    async with asyncio.timeout(DEADLINE_S):
        await run_claim(claim, store=store, loader=loader, worker_id=worker)
    return claim.job.id


async def find(store: Store, job_id: str) -> JobRow:
    job = await store.jobs.find(DEFAULT_PROJECT, job_id)
    assert job is not None
    return job


async def events(store: Store, job_id: str) -> list[str]:
    page = await store.jobs.events(job_id, after=None, limit=100)
    return [event.message for event in reversed(page.data)]


async def teach(store: Store, loader: ModelLoader) -> str:
    """A supervised job that ends with a model which calls its tool; returns the model's name."""
    await submit(store, Method.SUPERVISED, LESSONS, rows=[SHOWN])
    job = await find(store, await work(store, loader))
    assert job.status is JobStatus.SUCCEEDED, job.error
    assert job.fine_tuned_model is not None
    return job.fine_tuned_model


async def test_a_demonstrated_agent_is_reinforced_with_tools_over_http(store: Store, loader: ModelLoader) -> None:
    server = ToolServer()
    async with serving(server.app) as url:
        model = await teach(store, loader)
        asked = reinforcement(
            url,
            signing_secret=SECRET,
            lifecycle={"url": f"{url}/episodes"},
            monitor_graders=[{**GRADER, "name": "watching"}],
        )
        await submit(store, Method.REINFORCEMENT, asked, rows=[ASK] * 4, validation=[ASK] * 2, model=model)
        job = await find(store, await work(store, loader))
    assert job.status is JobStatus.SUCCEEDED, job.error
    assert job.fine_tuned_model is not None
    assert job.fine_tuned_model.startswith("ft:tiny:local:demo:")
    assert job.error is None
    assert job.hyperparameters is not None
    assert job.hyperparameters["batch_size"] == 2
    said = await events(store, job.id)
    assert [message.split(" ,")[0] for message in said if message.startswith("Step ")] == [
        "Step 0/2",
        "Step 1/2",
        "Step 2/2",
    ]
    assert said[-2:] == [f"New fine-tuned model created: {job.fine_tuned_model}", "The job has successfully completed"]
    checkpoints = (await store.jobs.checkpoints(job.id, after=None, limit=10)).data
    assert [checkpoint.step_number for checkpoint in checkpoints] == [2, 1]
    assert all((Path(checkpoint.path) / "model.safetensors").is_file() for checkpoint in checkpoints)
    assert len(job.result_files) == 1
    for row in await store.jobs.metrics(job.id):
        assert row["agentrft"]["valid_monitor_mean_watching"] == row["agentrft"]["valid_reward_mean"]
    check_episodes(store, job, server)


def check_episodes(store: Store, job: JobRow, server: ToolServer) -> None:
    files = EpisodeFiles(store.runs_dir / job.id)
    assert {("valid", 0), ("train", 1), ("valid", 1), ("train", 2), ("valid", 2)} == set(files.steps())
    baseline = list(files.read("valid", 0))
    assert len(baseline) == 2
    called = [call for record in baseline for turn in record["turns"] for call in turn["tool_calls"]]
    assert [json.loads(call["arguments"]) for call in called] == [{"query": "revenue"}] * 2
    assert {turn["results"][0]["output"] for record in baseline for turn in record["turns"] if turn["results"]} == {
        "It was 42."
    }
    assert server.calls[0]["authorization"] == "Bearer hush"
    assert server.calls[0]["name"] == "search"
    traces = {record["trace_id"] for split, step in files.steps() for record in files.read(split, step)}
    assert {call["trace_id"] for call in server.calls} <= traces
    assert all(call["signed"] for call in [*server.calls, *server.episodes])
    for event in ("episode_started", "episode_finished"):
        told = [episode for episode in server.episodes if episode["type"] == event]
        assert {episode["trace_id"] for episode in told} == traces
        assert {episode["job_id"] for episode in told} == {job.id}


async def test_a_judge_over_http_ranks_the_attempts_of_every_group(store: Store, loader: ModelLoader) -> None:
    """A task without labels, from the job's request to weights: the judge likes the attempts that stand first."""

    def favour_the_first(body: Mapping[str, Any]) -> dict[str, Any]:
        count = body["messages"][-1]["content"].count("<attempt ")
        scores = [{"id": str(place), "explanation": "", "score": 1 / place} for place in range(1, count + 1)]
        return {"scores": scores}

    async with judging(favour_the_first) as judge, serving(ToolServer().app) as url:
        configured = {"judge": JudgeSettings(base_url=f"{judge.url}/v1")}
        async with open_store(store.settings.model_copy(update={"judges": configured})) as judged:
            asked = reinforcement(url) | {"grader": {"type": "ruler", "name": "best", "model": "judge"}}
            asked["hyperparameters"]["eval_samples"] = 2
            await submit(judged, Method.REINFORCEMENT, asked, rows=[ASK] * 4, validation=[ASK])
            job = await find(judged, await work(judged, loader))
    assert job.status is JobStatus.SUCCEEDED, job.error
    files = EpisodeFiles(store.runs_dir / job.id)
    records = [record for split, step in files.steps() for record in files.read(split, step)]
    assert {record["reward"] for record in records} <= {1.0, 1 / 2, 1 / 3, 1 / 4}
    assert all(record["grade"]["parts"] == {"best": record["reward"]} for record in records)
    assert len(judge.bodies) == 3 * 1 + 2 * 2  # evaluations, groups


async def test_a_job_whose_judge_is_gone_fails_with_a_reason(store: Store, loader: ModelLoader) -> None:
    asked = reinforcement("http://127.0.0.1:9") | {"grader": {"type": "ruler", "name": "best", "model": "gone"}}
    await submit(store, Method.REINFORCEMENT, asked, rows=[ASK], validation=[ASK])
    job = await find(store, await work(store, loader))
    assert job.error is not None
    assert (job.error["code"], job.error["param"]) == ("model_not_found", "method.reinforcement.grader.model")


def mcp_server(calls: list[str]) -> Any:
    """An MCP server with the tool that `teach` teaches."""
    function = ASK["tools"][0]["function"]  # type: ignore[index]
    tool = McpTool(name=function["name"], description=function["description"], input_schema=function["parameters"])

    async def list_tools(context: Any, params: Any) -> ListToolsResult:
        return ListToolsResult(tools=[tool])

    async def call_tool(context: Any, params: CallToolRequestParams) -> CallToolResult:
        calls.append(f"{params.name} {params.arguments}")
        return CallToolResult(content=[TextContent(text="It was 42.")])

    server: McpLowLevelServer[Any] = McpLowLevelServer("test", on_list_tools=list_tools, on_call_tool=call_tool)
    return server.streamable_http_app()


async def test_rows_without_schemas_are_offered_the_tools_of_an_mcp_server(store: Store, loader: ModelLoader) -> None:
    calls: list[str] = []
    model = await teach(store, loader)
    async with serving(mcp_server(calls)) as url:
        asked = reinforcement(url, mcp_servers=[{"name": "web", "url": f"{url}/mcp"}]) | {"tools": []}
        row = {key: value for key, value in ASK.items() if key != "tools"}
        await submit(store, Method.REINFORCEMENT, asked, rows=[row] * 2, validation=[row], model=model)
        job = await find(store, await work(store, loader))
    assert job.status is JobStatus.SUCCEEDED, job.error
    assert "search {'query': 'revenue'}" in calls
    [baseline] = EpisodeFiles(store.runs_dir / job.id).read("valid", 0)
    assert [result["output"] for turn in baseline["turns"] for result in turn["results"]][:1] == ["It was 42."]
    page = await store.jobs.metrics(job.id)
    assert [tool["name"] for tool in page[0]["tools"]] == ["search"]


async def test_the_model_that_a_job_made_is_served(store: Store, loader: ModelLoader) -> None:
    model = await teach(store, loader)
    models = Serving(store, loader)
    tool = ASK["tools"][0]["function"]  # type: ignore[index]
    question = {"model": model, "messages": ASK["messages"], "tools": [tool], "temperature": 0.0, "max_tokens": 60}
    async with (
        serving(create_serving_app(store, models, "t")) as url,
        httpx2.AsyncClient(base_url=url, timeout=30) as client,
    ):
        reply = (await client.post("/generate", json=question, headers={"Authorization": "Bearer t"})).json()
    await models.close()
    assert (reply["finish_reason"], [call["name"] for call in reply["tool_calls"]]) == ("tool_calls", ["search"])


async def test_a_job_can_be_cancelled_in_the_middle(store: Store, loader: ModelLoader) -> None:
    server = ToolServer()
    async with serving(server.app) as url:
        asked = reinforcement(url, max_steps=50, max_turn_tokens=400)
        asked["hyperparameters"]["n_epochs"] = 50
        job_id = await submit(store, Method.REINFORCEMENT, asked, rows=[ASK] * 4, validation=[ASK] * 2)
        running = asyncio.create_task(work(store, loader))
        async with asyncio.timeout(DEADLINE_S):
            while (await find(store, job_id)).progress is None:
                await asyncio.wait([running], timeout=0.02)
        await store.jobs.cancel(DEFAULT_PROJECT, job_id)
        await running
    job = await find(store, job_id)
    assert (job.status, job.error, job.fine_tuned_model) == (JobStatus.CANCELLED, None, None)
    assert "The job has been cancelled" in await events(store, job_id)


async def begin(store: Store, loader: ModelLoader, *, until_step: int) -> str:
    """A worker that takes the next job and dies as soon as the job can be taken up behind a step."""
    worker = await store.workers.register(device="cpu")
    claim = await store.queue.claim(worker)
    assert claim is not None
    running = asyncio.create_task(run_claim(claim, store=store, loader=loader, worker_id=worker))
    async with asyncio.timeout(DEADLINE_S):
        while (point := read_resume_point(store.runs_dir / claim.job.id)) is None or point.checkpoint.step < until_step:
            await asyncio.wait([running], timeout=0.02)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await store.workers.remove(worker)
    return claim.job.id


@pytest.mark.parametrize("damaged", [False, True])
async def test_another_worker_goes_on_behind_the_last_checkpoint(
    store: Store, loader: ModelLoader, damaged: bool
) -> None:
    server = ToolServer()
    async with serving(server.app) as url:
        # A random model runs out of tokens; its attempts are to be learned from all the same.
        asked = reinforcement(url, max_steps=4, faults={"truncated_limit": 1.0})
        await submit(store, Method.REINFORCEMENT, asked, rows=[ASK] * 4, validation=[ASK] * 2)
        job_id = await begin(store, loader, until_step=2)
        if damaged:
            (checkpoint, *_) = (await store.jobs.checkpoints(job_id, after=None, limit=1)).data
            (Path(checkpoint.path) / "optimizer.safetensors").write_bytes(b"broken off")
        before = len(await events(store, job_id))
        assert await work(store, loader) == job_id
    job = await find(store, job_id)
    assert job.status is JobStatus.SUCCEEDED, job.error
    said = (await events(store, job_id))[before:]
    steps = [message[: len("Step 0/4")] for message in said if message.startswith("Step ")]
    assert steps == [f"Step {n}/4" for n in range(0 if damaged else 3, 5)]
    assert any("damaged (SafetensorError): starting over" in message for message in said) is damaged
    files = EpisodeFiles(store.runs_dir / job_id)
    sizes = {place: len(list(files.read(*place))) for place in files.steps()}
    assert sizes == {("valid", n): 2 for n in range(5)} | {("train", n): 8 for n in range(1, 5)}
    (last, *_) = (await store.jobs.checkpoints(job_id, after=None, limit=1)).data
    version = json.loads((Path(last.path) / "checkpoint.json").read_text())["version"]
    assert version == (5 if damaged else 6)  # restored, versions go on behind the checkpoint's
    rows = store.files.path(job.result_files[0]).read_text().splitlines()
    assert [row.split(",")[0] for row in rows[1:]] == ["0", "1", "2", "3", "4"]


@pytest.mark.parametrize("lost", ["config.json", "model.safetensors", "tokenizer.json"])
async def test_a_job_whose_model_vanishes_fails_with_a_reason(store: Store, loader: ModelLoader, lost: str) -> None:
    job_id = await submit(store, Method.SUPERVISED, LESSONS, rows=[SHOWN])
    worker = await store.workers.register(device="cpu")
    claim = await store.queue.claim(worker)
    assert claim is not None
    assert store.settings.models_dir is not None
    (store.settings.models_dir / "tiny" / lost).unlink()
    await run_claim(claim, store=store, loader=loader, worker_id=worker)
    job = await find(store, job_id)
    assert job.status is JobStatus.FAILED
    assert job.error is not None
    assert job.error["code"] in ("model_not_available", "invalid_model")
    assert (await events(store, job_id))[-1] == job.error["message"]


async def test_a_row_that_does_not_fit_fails_the_job_and_names_it(store: Store, loader: ModelLoader) -> None:
    settings = {**LESSONS, "agentrft": {"full_weights": True, "max_context_tokens": 64}}
    await submit(store, Method.SUPERVISED, settings, rows=[SHOWN])
    job = await find(store, await work(store, loader))
    assert job.error is not None
    assert "Example 1" in job.error["message"]
    assert job.error["code"] == "invalid_training_file"


async def test_a_tool_that_is_served_nowhere_fails_the_job(store: Store, loader: ModelLoader) -> None:
    asked = reinforcement("http://127.0.0.1:9")
    asked["tools"][0]["name"] = "other"
    await submit(store, Method.REINFORCEMENT, asked, rows=[ASK], validation=[ASK])
    job = await find(store, await work(store, loader))
    assert job.status is JobStatus.FAILED
    assert job.error is not None
    assert "search" in job.error["message"]


class BrokenLoader(ModelLoader):
    async def load(self, row: ModelRow) -> LoadedModel:
        raise MemoryError


async def test_a_crash_fails_the_job_with_a_reason_and_not_the_worker(store: Store, tmp_path: Path) -> None:
    await submit(store, Method.SUPERVISED, LESSONS, rows=[SHOWN])
    job = await find(store, await work(store, BrokenLoader(tmp_path)))
    assert job.status is JobStatus.FAILED
    assert job.error is not None
    assert job.error["code"] == "out_of_memory"
    assert job.error["message"].startswith("The worker ran out of memory")


async def test_a_job_pauses_for_a_grader_that_is_down_and_goes_on_by_itself(store: Store, loader: ModelLoader) -> None:
    gradings = count()
    app = FastAPI()

    @app.post("/grade")
    async def grade() -> Any:
        number = next(gradings)
        return RedirectResponse("/elsewhere") if number < 4 else {"score": number % 2}  # a fault that is not retried

    async with serving(app) as url:
        asked = {
            "grader": {"type": "endpoint", "name": "judge", "url": f"{url}/grade"},
            "hyperparameters": {"batch_size": 1, "eval_samples": 1},
            "agentrft": {**SHORT, "max_steps": 1, "faults": {"min_faults": 1, "probe_interval_s": 0.01}},
        }
        plain = {"messages": ASK["messages"]}
        await submit(store, Method.REINFORCEMENT, asked, rows=[plain], validation=[plain] * 2)
        job = await find(store, await work(store, loader))
    assert job.status is JobStatus.SUCCEEDED, job.error
    said = await events(store, job.id)
    (paused,) = [message for message in said if message.startswith("Paused: the grader judge failed")]
    assert "redirects are refused" in paused
    assert any(message.startswith("Resumed: the grader judge answers again") for message in said)
    baseline = list(EpisodeFiles(store.runs_dir / job.id).read("valid", 0))
    assert [record["reward"] is None for record in baseline] == [record["fault"] is not None for record in baseline]
    assert sum(record["fault"] is None for record in baseline) == 2


async def test_a_job_that_was_cancelled_before_it_began_leaves_no_model(store: Store, loader: ModelLoader) -> None:
    job_id = await submit(store, Method.SUPERVISED, LESSONS, rows=[SHOWN])
    worker = await store.workers.register(device="cpu")
    claim = await store.queue.claim(worker)
    assert claim is not None
    await store.jobs.cancel(DEFAULT_PROJECT, job_id)
    await run_claim(claim, store=store, loader=loader, worker_id=worker)
    assert (await find(store, job_id)).fine_tuned_model is None


@pytest.mark.slow
async def test_adapters_are_trained_on_a_process_per_core(store: Store, loader: ModelLoader) -> None:
    server = ToolServer()
    async with serving(server.app) as url:
        model = await teach(store, loader)
        asked = reinforcement(url)
        asked["agentrft"] = {**asked["agentrft"], "full_weights": None, "lora_rank": 8}
        await submit(store, Method.REINFORCEMENT, asked, rows=[ASK] * 4, validation=[ASK] * 2, model=model)
        job = await find(store, await work(store, loader))
    assert job.status is JobStatus.SUCCEEDED, job.error
    assert server.calls
    (last, _) = (await store.jobs.checkpoints(job.id, after=None, limit=10)).data
    assert (Path(last.path) / "adapter_model.safetensors").is_file()
    assert not (Path(last.path).parent / "weights").exists()
