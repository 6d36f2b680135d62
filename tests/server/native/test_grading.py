import asyncio
import json
from typing import Any

import httpx2
import openai
import pytest

from agentrft.domain.episode import GradedEpisode
from agentrft.outbound.signature import Signer
from agentrft.server import create_app
from agentrft.server.native.grading import Tell, regrade_steps, stream
from agentrft.server.services import MAX_SANDBOXES
from agentrft.store import Settings, Store
from agentrft.testing import FunctionGrader, a_graded_episode
from tests.server.conftest import API_KEY, GRADER, Put
from tests.server.native.saved_job import rows, save_episodes
from tests.tools.scripted_endpoint import Answer, ScriptedEndpoint

CONTAINS = {**GRADER, "name": "contains", "operation": "like"}
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@pytest.fixture
async def job_id(client: openai.AsyncOpenAI, job_body: dict[str, Any], store: Store, put: Put) -> str:
    job_body |= {"training_file": await put(*rows()), "validation_file": await put(*rows())}
    job = await client.fine_tuning.jobs.create(**job_body)
    save_episodes(store.runs_dir, job.id)
    return job.id


async def ask(http: httpx2.AsyncClient, path: str, **body: Any) -> dict[str, Any]:
    """The result at the end of the stream."""
    reply = await http.post(f"/agentrft/v1/{path}", json=body, timeout=30)
    assert reply.status_code == 200, reply.text
    assert reply.headers["content-type"].startswith("text/event-stream")
    events = [json.loads(line.removeprefix("data: ")) for line in reply.text.splitlines() if line]
    assert ["progress" in event for event in events] == [True] * (len(events) - 1) + [False]
    result: dict[str, Any] = events[-1]["result"]
    return result


async def refusal(http: httpx2.AsyncClient, path: str, **body: Any) -> tuple[int, str | None, str]:
    reply = await http.post(f"/agentrft/v1/{path}", json=body)
    error = reply.json()["error"]
    return reply.status_code, error["param"], error["message"]


async def test_the_jobs_own_grader_is_checked_on_its_own_episodes(http: httpx2.AsyncClient, job_id: str) -> None:
    found = await ask(http, "graders/check", job=job_id)
    assert (found["grader"], found["verdict"], found["items"]) == ("exact", "fine", 6)
    assert (found["real_episodes"], found["real_mean"]) == (12, 0.5)
    paid = {trick["name"]: trick["reward_mean"] for trick in found["tricks"]}
    assert (paid["empty"], paid["numbers"], paid["reference"]) == (0.0, 0.0, 1.0)
    assert found["noise"]["differing"] == 0


async def test_another_grader_pays_for_tricks_as_it_pays_for_work(http: httpx2.AsyncClient, job_id: str) -> None:
    found = await ask(http, "graders/check", job=job_id, grader=CONTAINS, split="train", items=3, attempts=1)
    assert (found["verdict"], found["items"], found["real_mean"]) == ("suspicious", 3, 1.0)
    assert {trick["name"] for trick in found["tricks"] if trick["verdict"] == "suspicious"} == {
        "numbers",
        "paste",
        "all_references",
    }


async def test_a_grader_is_checked_on_a_file_before_there_is_a_job(http: httpx2.AsyncClient, put: Put) -> None:
    file = await put(*rows())
    found = await ask(http, "graders/check", file=file, grader=CONTAINS)
    assert (found["verdict"], found["real_mean"], found["job"]) == ("hackable", None, None)
    assert {trick["name"] for trick in found["tricks"] if trick["verdict"] == "hackable"} == {"all_references"}
    assert (await ask(http, "graders/check", file=file, grader=GRADER))["verdict"] == "suspicious"  # 1 of 6 items


async def test_stored_episodes_are_graded_anew_and_stay_as_they_are(
    http: httpx2.AsyncClient, job_id: str, store: Store
) -> None:
    before = {path: path.read_bytes() for path in (store.runs_dir / job_id).iterdir()}
    found = await ask(http, f"jobs/{job_id}/regrade", grader=CONTAINS, episodes=True)
    assert [(each["split"], each["step"]) for each in found["steps"]] == [("valid", 0), ("train", 1)]
    total = found["total"]
    assert (total["episodes"], total["failed"], total["old_mean"], total["new_mean"]) == (26, 0, 0.5, 1.0)
    assert (total["changed_share"], total["spearman"]) == (0.5, None)
    assert (total["groups"], total["groups_gained"], total["groups_lost"]) == (12, 0, 12)
    assert {each["trace_id"].split("-")[2] for each in found["movers"]} == {"wordy"}
    assert len(found["episodes"]) == 26
    assert {path: path.read_bytes() for path in (store.runs_dir / job_id).iterdir()} == before


async def test_one_step_can_be_graded_anew_by_the_same_grader(http: httpx2.AsyncClient, job_id: str) -> None:
    found = await ask(http, f"jobs/{job_id}/regrade", grader=GRADER, split="train", step=1)
    assert (len(found["steps"]), found["total"]["changed_share"], found["movers"]) == (1, 0.0, [])
    assert found["total"]["spearman"] == pytest.approx(1.0)
    assert "episodes" not in found


async def test_what_cannot_be_done_is_refused_with_a_reason(http: httpx2.AsyncClient, job_id: str, put: Put) -> None:
    path = f"jobs/{job_id}/regrade"
    status, param, message = await refusal(http, path, grader=GRADER, step=9)
    assert (status, param) == (404, "step")
    assert "It has: train 1, valid 0." in message
    assert (await refusal(http, path, grader={"type": "oracle"}))[:2] == (400, "grader.type")
    endpoint = {"type": "endpoint", "url": "http://127.0.0.1:9/", "headers": {"Authorization": "**********"}}
    status, param, message = await refusal(http, path, grader=endpoint)
    assert (status, param) == (400, "grader")
    assert "real value" in message
    assert (await refusal(http, "graders/check", job="ftjob-none"))[0] == 404
    assert (await refusal(http, "graders/check", grader=GRADER))[0] == 400
    assert (await refusal(http, "graders/check", file="file-none", grader=GRADER))[:2] == (400, "file")
    assert (await refusal(http, "graders/check", file=await put(*rows())))[0] == 400
    assert (await refusal(http, "graders/check", job=job_id, items=1000))[:2] == (400, "items")


async def test_a_supervised_job_has_nothing_to_grade(
    http: httpx2.AsyncClient, client: openai.AsyncOpenAI, put: Put
) -> None:
    shown = {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}
    job = await client.fine_tuning.jobs.create(model="tiny", training_file=await put(shown))
    assert "is a supervised job" in (await refusal(http, "graders/check", job=job.id))[2]


async def test_work_stops_when_nobody_listens_any_more() -> None:
    stopped = asyncio.Event()

    async def work(tell: Tell) -> dict[str, Any]:
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()
        raise AssertionError

    events = stream(work)
    assert await anext(events) == 'data: {"progress": {}}\n\n'
    listening = asyncio.create_task(anext(events))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    listening.cancel()
    await asyncio.gather(listening, return_exceptions=True)
    assert stopped.is_set()


async def test_a_request_grades_so_many_episodes_and_says_where_it_stopped() -> None:
    async def read(split: str, step: int) -> list[GradedEpisode]:
        return [a_graded_episode(0.0), a_graded_episode(1.0)]

    told: dict[str, int] = {}
    steps = [("train", step) for step in range(5)]
    found, done = await regrade_steps(FunctionGrader(lambda _: 1.0), read, steps, told.update, limit=3)
    assert ([each.step for each in found], done) == ([0, 0, 1, 1], 2)
    assert told == {"steps_done": 1, "steps": 5, "done": 4}


async def test_an_endpoint_gets_requests_that_are_signed_as_the_jobs_are(
    http: httpx2.AsyncClient, client: openai.AsyncOpenAI, job_body: dict[str, Any], store: Store, put: Put
) -> None:
    async with ScriptedEndpoint(Answer(body={"score": 0.5})) as server:
        own = {"type": "endpoint", "name": "own", "url": server.url, "headers": {"X-Key": "hush-hush"}}
        job_body |= {"training_file": await put(*rows()), "validation_file": await put(*rows())}
        job_body["method"]["reinforcement"] |= {"grader": own, "agentrft": {"signing_secret": SECRET}}
        job = await client.fine_tuning.jobs.create(**job_body)
        save_episodes(store.runs_dir, job.id)
        await ask(http, "graders/check", job=job.id, items=1, attempts=1)
        await ask(http, f"jobs/{job.id}/regrade", grader={**own, "name": "other"}, split="train", step=1)
        await ask(http, "graders/check", file=await put(*rows()), grader=own, items=1)
    signed = [request for request in server.requests if "webhook-signature" in request.headers]
    with_keys = {request.headers["x-key"] for request in server.requests}
    by_file = len(server.requests) - len(signed)
    assert (with_keys, len(signed) > 13, 0 < by_file < 13) == ({"hush-hush"}, True, True)
    for request in signed:
        stamp = int(request.headers["webhook-timestamp"])
        expected = Signer(SECRET).headers(request.headers["webhook-id"], timestamp_s=stamp, body=request.raw)
        assert request.headers["webhook-signature"] == expected["webhook-signature"]


async def test_a_grader_without_python_needs_no_sandbox(settings: Settings, run_app: Any, put: Put) -> None:
    file, app = await put(*rows()), create_app(settings)
    headers = {"Authorization": f"Bearer {API_KEY}"}
    async with run_app(app) as url, httpx2.AsyncClient(base_url=url, headers=headers) as again, asyncio.timeout(30):
        for _ in range(MAX_SANDBOXES):
            await app.state.services.sandboxes.acquire()
        assert (await ask(again, "graders/check", file=file, grader=GRADER))["grader"] == "exact"
