import json
from collections.abc import Iterator

import pytest
from openai import OpenAI

from agentrft.demo.jobs import (
    cancel_unfinished,
    cold_start_method,
    create_cold_start,
    create_reinforcement,
    demo_method,
    tool_endpoints,
    upload,
)
from agentrft.demo.recipe import Recipe
from agentrft.wire.job_request import read_job_request
from tests.demo.fake_platform import KEY, FakePlatform, fake_platform

RECIPE = Recipe()


@pytest.fixture
def platform() -> Iterator[FakePlatform]:
    with fake_platform() as fake:
        yield fake


@pytest.fixture
def client(platform: FakePlatform) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{platform.url}/v1", api_key=KEY) as client:
        yield client


def test_rows_are_uploaded_a_line_each(client: OpenAI, platform: FakePlatform) -> None:
    file_id = upload(client, "rows.jsonl", [{"a": 1}, {"b": "ö\n"}])
    lines = platform.files[file_id].decode().splitlines()
    assert [json.loads(line) for line in lines] == [{"a": 1}, {"b": "ö\n"}]
    assert platform.purposes[file_id] == "fine-tune"


def test_the_cold_start_is_a_supervised_job(client: OpenAI, platform: FakePlatform) -> None:
    job = create_cold_start(client, RECIPE, training_file="file-1", suffix="cold", seed=3)
    method = platform.jobs[job.id]["method"]
    assert method["type"] == "supervised"
    assert method["supervised"]["hyperparameters"] == {"n_epochs": 1, "batch_size": 8}


def test_the_reinforcement_job_has_the_shape_of_openais_notebook(client: OpenAI, platform: FakePlatform) -> None:
    tools = tool_endpoints("http://tools", ("search", "cat"), token="t")
    job = create_reinforcement(
        client,
        demo_method(RECIPE, tools),
        model="ft:x",
        training_file="file-1",
        validation_file="file-2",
        suffix="demo",
        seed=3,
    )
    sent = platform.jobs[job.id]["method"]
    reinforcement = sent["reinforcement"]
    assert sent["type"] == "reinforcement"
    assert set(reinforcement) == {
        "tools",
        "grader",
        "response_format",
        "max_episode_steps",
        "hyperparameters",
        "agentrft",
    }
    assert reinforcement["tools"][0] == {
        "name": "search",
        "server_url": "http://tools/search",
        "headers": {"Authorization": "Bearer t"},
    }
    assert "def grade(sample" in reinforcement["grader"]["source"]


def test_the_platform_takes_both_methods() -> None:
    method = demo_method(RECIPE, tool_endpoints("http://tools", ("search", "cat"), token="t"))
    files = {"model": "m", "training_file": "file-1", "validation_file": "file-2"}
    for kind, content in (("reinforcement", method), ("supervised", cold_start_method(RECIPE))):
        spec = read_job_request({**files, "method": {"type": kind, kind: content}})
        assert spec.method == kind


def test_jobs_that_an_interrupted_run_left_are_cancelled(client: OpenAI, platform: FakePlatform) -> None:
    for number, status in enumerate(("running", "queued", "succeeded", "failed")):
        platform.jobs[f"ftjob-{number}"] = platform.job(number, status=status)
    assert cancel_unfinished(client) == 2
    assert [job["status"] for job in platform.jobs.values()] == ["cancelled", "cancelled", "succeeded", "failed"]
