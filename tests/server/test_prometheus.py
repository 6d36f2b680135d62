"""What a Prometheus scraper sees."""

from collections.abc import Mapping
from typing import Any

import httpx2
import openai
import pytest
from prometheus_client.parser import text_string_to_metric_families

from agentrft.store import Store

STEPS: list[dict[str, float]] = [
    {"valid_reward_mean": 0.25, "valid_rollouts_total": 6.0},
    {
        "train_reward_mean": 0.5,
        "train_rollouts_total": 10.0,
        "train_rollouts_discarded": 2.0,
        "train_faults_tool_endpoint": 2.0,
        "train_faults_kind_http_5xx": 2.0,
        "train_faults_at_search": 2.0,
        "train_replies_of_search": 18.0,
        "train_error_count_search": 0.1,
        "train_tool_latency_s_p95_search": 0.75,
        "train_tool_latency_s_p95": 0.5,
        "train_grading_s_p50": 0.125,
        "train_grading_fault_share": 0.0,
    },
    {"train_reward_mean": 0.75, "train_rollouts_total": 8.0, "train_faults_kind_http_5xx": 1.0},
]


@pytest.fixture
async def job_id(client: openai.AsyncOpenAI, job_body: dict[str, Any], store: Store) -> str:
    job = await client.fine_tuning.jobs.create(**job_body)
    await store.queue.claim(await store.workers.register(device="cpu"))
    for step, numbers in enumerate(STEPS):
        data = {"step": step, "total_steps": 20, "agentrft": numbers}
        await store.queue.append_event(job.id, "m", type="metrics", data=data)
    return job.id


async def scrape(http: httpx2.AsyncClient) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    reply = await http.get("/metrics")
    assert reply.status_code == 200
    assert reply.headers["content-type"].startswith("text/plain; version=0.0.4")
    families = text_string_to_metric_families(reply.text)
    return {(s.name, frozenset(s.labels.items())): s.value for family in families for s in family.samples}


def labels(**given: str) -> frozenset[tuple[str, str]]:
    return frozenset(given.items())


async def test_counters_sum_the_steps_and_gauges_show_the_latest(
    http: httpx2.AsyncClient, store: Store, job_id: str
) -> None:
    found = await scrape(http)
    expected: Mapping[tuple[str, frozenset[tuple[str, str]]], float] = {
        ("agentrft_jobs", labels(status="running")): 1,
        ("agentrft_jobs", labels(status="failed")): 0,
        ("agentrft_job_step", labels(job=job_id)): 2,
        ("agentrft_job_steps", labels(job=job_id)): 20,
        ("agentrft_job_waiting", labels(job=job_id)): 0,
        ("agentrft_job_rollouts_total", labels(job=job_id, split="train")): 18,
        ("agentrft_job_rollouts_total", labels(job=job_id, split="valid")): 6,
        ("agentrft_job_rollouts_discarded_total", labels(job=job_id, split="train")): 2,
        ("agentrft_job_faults_total", labels(job=job_id, split="train", kind="http_5xx")): 3,
        ("agentrft_job_faults_at_total", labels(job=job_id, split="train", at="search")): 2,
        ("agentrft_job_tool_replies_total", labels(job=job_id, split="train", tool="search")): 18,
        ("agentrft_job_reward_mean", labels(job=job_id, split="train")): 0.75,
        ("agentrft_job_reward_mean", labels(job=job_id, split="valid")): 0.25,
        ("agentrft_job_tool_fault_ratio", labels(job=job_id, split="train", tool="search")): 0.1,
        ("agentrft_job_grading_fault_ratio", labels(job=job_id, split="train")): 0,
        (
            "agentrft_job_tool_latency_seconds",
            labels(job=job_id, split="train", tool="search", quantile="0.95"),
        ): 0.75,
        ("agentrft_job_grading_seconds", labels(job=job_id, split="train", quantile="0.5")): 0.125,
    }
    assert {key: found.get(key) for key in expected} == expected
    assert {key for key in found if key[0] != "agentrft_jobs"} <= set(expected)


async def test_a_job_that_has_paused_itself_is_seen_to_wait(
    http: httpx2.AsyncClient, store: Store, job_id: str
) -> None:
    await store.queue.set_progress(job_id, phase="waiting", step=3, done=1, expected=8)
    assert (await scrape(http))["agentrft_job_waiting", labels(job=job_id)] == 1
    await store.queue.fail(job_id, code="tool_unavailable", message="gone")
    found = await scrape(http)
    assert found["agentrft_job_waiting", labels(job=job_id)] == 0
    assert found["agentrft_jobs", labels(status="failed")] == 1


async def test_a_server_without_jobs_can_be_scraped(http: httpx2.AsyncClient) -> None:
    assert {name for name, _ in await scrape(http)} == {"agentrft_jobs"}


async def test_a_stranger_learns_nothing(base_url: str) -> None:
    async with httpx2.AsyncClient(trust_env=False) as anonymous:
        assert (await anonymous.get(f"{base_url}/metrics")).status_code == 401
