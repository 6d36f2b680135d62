import asyncio
from collections.abc import Awaitable, Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest

from agentrft.server import create_app
from agentrft.store import Settings, Store
from agentrft.store.events import step_message

ROW = {"messages": [{"role": "user", "content": "How much?"}], "reference_answer": "42"}
Put = Callable[..., Awaitable[str]]
JUDGED = {
    "type": "score_model", "name": "judged", "model": "tiny",
    "input": [{"role": "user", "content": "How good is {{sample.output_text}}?"}],
}  # fmt: skip
LABELLED = {**JUDGED, "name": "label", "type": "label_model", "labels": ["good", "bad"], "passing_labels": ["good"]}


def changed(body: dict[str, Any], **reinforcement: Any) -> dict[str, Any]:
    copy = deepcopy(body)
    copy["method"]["reinforcement"] |= reinforcement
    return copy


async def refused(client: openai.AsyncOpenAI, body: dict[str, Any]) -> openai.APIStatusError:
    with pytest.raises(openai.APIStatusError) as caught:
        await client.fine_tuning.jobs.create(**body)
    assert [job.id async for job in client.fine_tuning.jobs.list()] == []
    assert 400 <= caught.value.status_code < 500
    return caught.value


async def test_a_job_is_created_as_openais_notebook_does_it(
    client: openai.AsyncOpenAI, job_body: dict[str, Any]
) -> None:
    job = await client.fine_tuning.jobs.create(**job_body)
    assert job.id.startswith("ftjob-")
    assert len(job.id) == 30
    assert (job.status, job.object, job.seed, job.model) == ("validating_files", "fine_tuning.job", 42, "tiny")
    assert (job.error, job.result_files, job.fine_tuned_model, job.trained_tokens) == (None, [], None, None)
    shown = job.to_dict()["method"]["reinforcement"]
    assert shown["tools"][0]["headers"] == {"Authorization": "**********"}
    assert shown["hyperparameters"]["batch_size"] == 2
    assert shown["hyperparameters"]["eval_interval"] == "auto"
    assert shown["max_episode_steps"] == 8
    found = await client.fine_tuning.jobs.retrieve(job.id)
    assert found.status == "queued"
    assert [event.message async for event in client.fine_tuning.jobs.list_events(job.id)] == [
        "Files validated, moving job to queued state",
        f"Validating training file: {job.training_file} and validation file: {job.validation_file}",
        f"Created fine-tuning job: {job.id}",
    ]
    assert "hush-hush" not in found.to_json()


async def test_a_poller_sees_a_whole_life(
    client: openai.AsyncOpenAI, job_body: dict[str, Any], store: Store, tmp_path: Path
) -> None:
    job = await client.fine_tuning.jobs.create(**job_body)
    claim = await store.queue.claim(await store.workers.register(device="cpu"))
    assert claim is not None
    assert claim.request["reinforcement"]["tools"][0]["headers"] == {"Authorization": "Bearer hush-hush"}
    assert len(claim.training_path.read_text().splitlines()) == 3
    await store.queue.set_hyperparameters(job.id, {"eval_interval": 5, "group_size": 16})
    await store.queue.append_event(
        job.id, step_message(1, 2, train_reward=0.5), type="metrics", data={"step": 1, "train_mean_reward": 0.5}
    )
    await store.queue.add_checkpoint(job.id, step=1, path=tmp_path, metrics={"train_mean_reward": 0.5})
    running = await client.fine_tuning.jobs.retrieve(job.id)
    assert running.status == "running"
    assert running.to_dict()["method"]["reinforcement"]["hyperparameters"]["eval_interval"] == 5
    checkpoints = (await client.fine_tuning.jobs.checkpoints.list(job.id)).data
    assert checkpoints[0].metrics.train_mean_reward == 0.5
    assert checkpoints[0].fine_tuned_model_checkpoint.endswith(":ckpt-step-1")
    result = await store.queue.add_result_file(job.id, filename="step_metrics.csv", content=b"step\n1\n")
    name = await store.queue.finish(job.id, path=tmp_path)
    done = await client.fine_tuning.jobs.retrieve(job.id)
    assert (done.status, done.fine_tuned_model, done.result_files) == ("succeeded", name, [result.id])
    assert (await client.files.content(result.id)).text == "step\n1\n"
    assert (await client.models.retrieve(name or "")).owned_by == "local"
    again = await client.fine_tuning.jobs.create(**job_body | {"model": name or ""})
    assert again.model == name


async def test_a_supervised_job_is_created(client: openai.AsyncOpenAI, put: Put) -> None:
    row = {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]}
    job = await client.fine_tuning.jobs.create(
        model="gpt-5",
        training_file=await put(row, row),
        method={
            "type": "supervised",
            "supervised": {"hyperparameters": {"n_epochs": 2}, "agentrft": {"lora_rank": 8}},
        },
    )
    assert (job.model, job.validation_file, job.hyperparameters.n_epochs) == ("gpt-5", None, 2)


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (["[1, 2]"], "Example 4"),
        (["{"], "Example 4"),
        ([{"reference_answer": "1"}], "Example 4 is missing key 'messages'"),
        ([{"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]}], "Example 4"),
    ],
)
async def test_a_bad_row_is_named(
    client: openai.AsyncOpenAI, job_body: dict[str, Any], put: Put, lines: list[object], words: str
) -> None:
    rows = [ROW] * 3
    file = await put(*rows, *lines)
    for param in ("training_file", "validation_file"):
        good = await put(*rows)
        body = changed(job_body, tools=[]) | {"training_file": good, "validation_file": good, param: file}
        error = await refused(client, body)
        assert error.param == param
        assert words in error.message


async def test_a_wrong_monitor_grader_is_named_by_its_path(
    client: openai.AsyncOpenAI, job_body: dict[str, Any]
) -> None:
    at = "method.reinforcement.agentrft.monitor_graders"
    grader = job_body["method"]["reinforcement"]["grader"]
    for monitors, param in (
        ([grader, {"type": "oracle"}], f"{at}[1].type"),
        ([grader, grader], f"{at}[1].name"),
        ([{"type": "python", "name": "m", "source": "def grade(sample): return 1.0"}], f"{at}[0].source"),
    ):
        error = await refused(client, changed(job_body, agentrft={"monitor_graders": monitors}))
        assert error.param == param


async def test_monitor_graders_reach_the_worker_with_their_secrets_and_nobody_else(
    client: openai.AsyncOpenAI, job_body: dict[str, Any], store: Store
) -> None:
    monitor = {"type": "endpoint", "url": "http://127.0.0.1:9/", "headers": {"X-Key": "hush-hush"}, "max_rps": 2}
    job = await client.fine_tuning.jobs.create(**changed(job_body, agentrft={"monitor_graders": [monitor]}))
    assert "hush-hush" not in job.to_json()
    claim = await store.queue.claim(await store.workers.register(device="cpu"))
    assert claim is not None
    (read,) = claim.request["reinforcement"]["agentrft"]["monitor_graders"]
    assert (read["headers"], read["rate_limit"]) == ({"X-Key": "hush-hush"}, 2.0)
    assert read["name"].startswith("grader-")


async def test_a_grader_of_labels_may_watch_a_job_though_it_may_not_train_one(
    client: openai.AsyncOpenAI, job_body: dict[str, Any], store: Store
) -> None:
    await client.fine_tuning.jobs.create(**changed(job_body, agentrft={"monitor_graders": [LABELLED]}))
    claim = await store.queue.claim(await store.workers.register(device="cpu"))
    assert claim is not None
    (read,) = claim.request["reinforcement"]["agentrft"]["monitor_graders"]
    assert read["type"] == "label_model"


async def test_asterisks_in_place_of_a_secret_make_no_job(client: openai.AsyncOpenAI, job_body: dict[str, Any]) -> None:
    tools = deepcopy(job_body["method"]["reinforcement"]["tools"])
    tools[0]["headers"] = {"Authorization": "**********"}
    error = await refused(client, changed(job_body, tools=tools))
    assert error.param == "method.reinforcement.tools[0].headers.Authorization"


async def test_tools_of_data_and_job_must_be_the_same(
    client: openai.AsyncOpenAI, job_body: dict[str, Any], put: Put
) -> None:
    error = await refused(client, changed(job_body, tools=[]))
    assert error.param == "method.reinforcement.tools"
    assert "search" in error.message
    extra = [*job_body["method"]["reinforcement"]["tools"], {"name": "cat", "server_url": "http://127.0.0.1:9"}]
    error = await refused(client, changed(job_body, tools=extra))
    assert error.param is not None
    assert error.param.startswith("method.reinforcement.tools")
    assert "cat" in error.message


WEB = {"name": "web", "url": "http://127.0.0.1:9/mcp", "headers": {"X-Key": "hush-hush"}}
LOCAL = {"name": "local", "command": "uvx", "env": {"KEY": "hush-hush"}}


async def test_a_job_may_take_its_tools_from_mcp_servers(
    client: openai.AsyncOpenAI, job_body: dict[str, Any], store: Store
) -> None:
    body = changed(job_body, tools=[], agentrft={"mcp_servers": [WEB]})
    job = await client.fine_tuning.jobs.create(**body)
    shown = job.to_dict()["method"]["reinforcement"]["agentrft"]["mcp_servers"]
    assert shown == [WEB | {"headers": {"X-Key": "**********"}}]
    claim = await store.queue.claim(await store.workers.register(device="cpu"))
    assert claim is not None
    assert claim.request["reinforcement"]["agentrft"]["mcp_servers"] == [WEB]


async def test_a_tool_that_no_mcp_server_may_serve_is_refused(
    client: openai.AsyncOpenAI, job_body: dict[str, Any]
) -> None:
    servers = [WEB | {"allowed_tools": ["cat"]}]
    error = await refused(client, changed(job_body, tools=[], agentrft={"mcp_servers": servers}))
    assert (error.param, error.code) == ("method.reinforcement.tools", "missing_tool")


async def test_a_process_on_the_workers_machine_is_for_the_operator_to_allow(
    client: openai.AsyncOpenAI, job_body: dict[str, Any], settings: Settings, run_app: Any
) -> None:
    body = changed(job_body, tools=[], agentrft={"mcp_servers": [WEB, LOCAL]})
    error = await refused(client, body)
    assert error.param == "method.reinforcement.agentrft.mcp_servers[1].command"
    assert "AGENTRFT_ALLOW_MCP_STDIO=true" in error.message
    async with (
        run_app(create_app(settings.model_copy(update={"allow_mcp_stdio": True}))) as url,
        openai.AsyncOpenAI(api_key=client.api_key, base_url=f"{url}/v1") as allowed,
    ):
        job = await allowed.fine_tuning.jobs.create(**body)
    assert "hush-hush" not in job.to_json()


@pytest.mark.parametrize(
    ("changes", "param", "status"),
    [
        ({"model": "gpt-nothing"}, "model", 404),
        ({"training_file": "file-none"}, "training_file", 400),
        ({"validation_file": "file-none"}, "validation_file", 400),
        ({"validation_file": None}, "validation_file", 400),
        ({"extra_body": {"foo": 1}}, "foo", 400),
        ({"seed": -1}, "seed", 400),
    ],
)
async def test_a_job_that_names_what_is_not_there_is_refused(
    client: openai.AsyncOpenAI, job_body: dict[str, Any], changes: dict[str, Any], param: str, status: int
) -> None:
    error = await refused(client, job_body | changes)
    assert (error.param, error.status_code) == (param, status)


async def test_a_model_family_without_a_chat_format_is_refused(
    client: openai.AsyncOpenAI, job_body: dict[str, Any]
) -> None:
    error = await refused(client, job_body | {"model": "odd"})
    assert error.param == "model"
    assert "no-such-family" in error.message


async def test_a_file_for_another_purpose_is_refused(
    client: openai.AsyncOpenAI, job_body: dict[str, Any], put: Put
) -> None:
    error = await refused(client, job_body | {"training_file": await put(ROW, purpose="evals")})
    assert error.param == "training_file"
    assert "purpose" in error.message


@pytest.mark.parametrize(
    ("grader", "param"),
    [
        ({"type": "python", "source": "def grade(sample): return 1"}, "method.reinforcement.grader.source"),
        ({"type": "magic"}, "method.reinforcement.grader.type"),
        ({"type": "score_model", "model": "x", "input": []}, "method.reinforcement.grader.input"),
        (JUDGED | {"model": "gpt-9"}, "method.reinforcement.grader.model"),
        (LABELLED, "method.reinforcement.grader.type"),
        (
            {"type": "multi", "graders": {"a": JUDGED | {"model": "gpt-9"}}, "calculate_output": "a"},
            "method.reinforcement.grader.graders.a.model",
        ),
        ({"type": "endpoint", "url": "nowhere"}, "method.reinforcement.grader.url"),
    ],
)
async def test_a_grader_that_does_not_validate_is_refused(
    client: openai.AsyncOpenAI, job_body: dict[str, Any], grader: dict[str, Any], param: str
) -> None:
    assert (await refused(client, changed(job_body, grader=grader))).param == param


async def test_a_grader_is_kept_in_its_normal_form(http: httpx2.AsyncClient, job_body: dict[str, Any]) -> None:
    """Sent as it is: the SDK's own type knows no names of graders in a multi grader."""
    multi = {"type": "multi", "graders": {"a": JUDGED, "b": LABELLED}, "calculate_output": "a * b"}
    reply = await http.post("/v1/fine_tuning/jobs", json=changed(job_body, grader=multi))
    shown = reply.json()["method"]["reinforcement"]["grader"]
    assert shown.pop("name").startswith("grader-")
    assert shown == multi


@pytest.mark.parametrize(("samples", "accepted"), [(1, False), (2, True), ("auto", True)])
async def test_a_ruler_needs_at_least_two_attempts_at_each_validation_item(
    client: openai.AsyncOpenAI, job_body: dict[str, Any], samples: Any, accepted: bool
) -> None:
    asked = changed(job_body, grader={"type": "ruler", "model": "tiny"}, hyperparameters={"eval_samples": samples})
    if accepted:
        await client.fine_tuning.jobs.create(**asked)
    else:
        error = await refused(client, asked)
        assert error.param == "method.reinforcement.hyperparameters.eval_samples"
        assert "at least 2" in error.message


async def test_the_same_request_sent_twice_makes_one_job(http: httpx2.AsyncClient, job_body: dict[str, Any]) -> None:
    async def post(**headers: str) -> httpx2.Response:
        return await http.post("/v1/fine_tuning/jobs", json=job_body, headers=headers)

    keyed = [await post(**{"Idempotency-Key": "k1"}) for _ in range(2)]
    assert len({reply.json()["id"] for reply in keyed}) == 1
    at_once = await asyncio.gather(*(post(**{"Idempotency-Key": "k2"}) for _ in range(4)))
    assert len({reply.json()["id"] for reply in at_once}) == 1
    other = await http.post("/v1/fine_tuning/jobs", json=job_body | {"seed": 1}, headers={"Idempotency-Key": "k1"})
    assert (other.status_code, other.json()["error"]["param"]) == (400, "Idempotency-Key")
    fresh = (await post()).json()["id"]
    assert (await post(**{"x-stainless-retry-count": "1"})).json()["id"] == fresh
    assert (await post()).json()["id"] != fresh
    assert len((await http.get("/v1/fine_tuning/jobs")).json()["data"]) == 4


async def test_a_job_is_cancelled_once(client: openai.AsyncOpenAI, job_body: dict[str, Any]) -> None:
    job = await client.fine_tuning.jobs.create(**job_body)
    assert (await client.fine_tuning.jobs.cancel(job.id)).status == "cancelled"
    with pytest.raises(openai.BadRequestError, match=f"Job has already completed: {job.id}"):
        await client.fine_tuning.jobs.cancel(job.id)


async def test_pausing_is_refused_clearly(client: openai.AsyncOpenAI, job_body: dict[str, Any]) -> None:
    job = await client.fine_tuning.jobs.create(**job_body)
    for call in (client.fine_tuning.jobs.pause, client.fine_tuning.jobs.resume):
        with pytest.raises(openai.BadRequestError, match="not supported yet"):
            await call(job.id)


async def test_an_unknown_job_is_not_found(client: openai.AsyncOpenAI) -> None:
    jobs = client.fine_tuning.jobs
    for call in (jobs.retrieve, jobs.cancel, jobs.list_events, jobs.checkpoints.list):
        with pytest.raises(openai.NotFoundError) as caught:
            await call("ftjob-none")
        assert caught.value.code == "fine_tune_not_found"


async def test_jobs_are_listed_in_pages_and_by_metadata(client: openai.AsyncOpenAI, job_body: dict[str, Any]) -> None:
    made = [await client.fine_tuning.jobs.create(**job_body | {"metadata": {"n": str(n)}}) for n in range(3)]
    listed = [job.id async for job in client.fine_tuning.jobs.list(limit=2)]
    assert listed == [job.id for job in reversed(made)]
    found = await client.fine_tuning.jobs.list(metadata={"n": "1"})
    assert [job.id for job in found.data] == [made[1].id]
