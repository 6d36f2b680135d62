"""GET /metrics: what the store holds of a project's jobs, in Prometheus' text format.

It needs a key, like any route that tells of jobs; a scraper sends one as its `authorization`. Worker and server meet
only in the store, so the numbers are those of complete steps: a counter is a sum over the steps so far, a gauge the
latest value. Jobs that are over stay for a while, so that their last step is scraped, and then vanish.
"""

import asyncio
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter
from fastapi.responses import Response
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.registry import Collector

from agentrft.domain.job import JobStatus
from agentrft.server.auth import Authenticated
from agentrft.server.services import Served
from agentrft.store.rows import JobRow

router = APIRouter()
SHOWN_FOR_S = 600  # after a job's end
_WAITING = "waiting"  # the phase of a job that has paused itself
_QUANTILES = {"p50": "0.5", "p95": "0.95", "p99": "0.99"}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Family:
    """One metric of jobs. `made_of`: which of a step's names, without `<split>_`; its groups become labels."""

    name: str
    help: str
    made_of: str
    total: bool = False


_FAMILIES = (
    _Family(name="rollouts", help="Attempts made.", made_of="rollouts_total", total=True),
    _Family(name="rollouts_discarded", help="Attempts lost to a fault.", made_of="rollouts_discarded", total=True),
    _Family(name="tool_replies", help="Answered tool calls.", made_of="replies_of_(?P<tool>.+)", total=True),
    _Family(name="faults", help="Faults by kind.", made_of="faults_kind_(?P<kind>.+)", total=True),
    _Family(name="faults_at", help="Faults by tool or grader.", made_of="faults_at_(?P<at>.+)", total=True),
    _Family(name="reward_mean", help="Mean reward of graded attempts.", made_of="reward_mean"),
    _Family(name="tool_fault_ratio", help="Faults per call of a tool.", made_of="error_count_(?P<tool>.+)"),
    _Family(name="grading_fault_ratio", help="Faults per grading.", made_of="grading_fault_share"),
    _Family(
        name="tool_latency_seconds",
        help="Time to a tool's reply.",
        made_of="tool_latency_s_(?P<quantile>p50|p95|p99)_(?P<tool>.+)",
    ),
    _Family(name="grading_seconds", help="Time to a grade.", made_of="grading_s_(?P<quantile>p50|p95|p99)"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """A job, the data of its last metrics event, and the numbers of its steps by their flat names."""

    job: JobRow
    last: Mapping[str, Any]
    totals: Mapping[str, float]
    latest: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)  # a registry keeps collectors by identity
class _Project(Collector):
    """One scrape of one project."""

    counts: Mapping[JobStatus, int]
    seen: Sequence[_Seen]

    def collect(self) -> Iterator[Metric]:
        jobs = GaugeMetricFamily("agentrft_jobs", "Jobs by status.", labels=["status"])
        for status in JobStatus:
            jobs.add_metric([status.value], self.counts.get(status, 0))
        yield jobs
        yield self._of_jobs("step", "The last complete step.", lambda seen: seen.last.get("step"))
        yield self._of_jobs("steps", "Steps that the job will take.", lambda seen: seen.last.get("total_steps"))
        yield self._of_jobs("waiting", "1 while the job has paused itself for an endpoint.", _waits)
        yield from (_metric(family, self.seen) for family in _FAMILIES)

    def _of_jobs(self, name: str, help: str, value: Callable[[_Seen], float | None]) -> Metric:
        gauge = GaugeMetricFamily(f"agentrft_job_{name}", help, labels=["job"])
        for seen in self.seen:
            found = value(seen)
            if found is not None:
                gauge.add_metric([seen.job.id], found)
        return gauge


@router.get("/metrics", include_in_schema=False)
async def read_metrics(services: Served, caller: Authenticated) -> Response:
    """The jobs of the caller's project."""
    jobs = services.store.jobs
    counts = await jobs.count(caller.project_id)
    watched = await jobs.watched(caller.project_id, over_for_s=SHOWN_FOR_S)
    told = [(job, await jobs.metrics(job.id)) for job in watched]
    content = await asyncio.to_thread(_write, counts, told)
    return Response(content, media_type=CONTENT_TYPE_PLAIN_0_0_4)


def _write(counts: Mapping[JobStatus, int], told: Sequence[tuple[JobRow, Sequence[Mapping[str, Any]]]]) -> bytes:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Project(counts=counts, seen=[_sum_up(job, steps) for job, steps in told]))
    return generate_latest(registry)


def _sum_up(job: JobRow, steps: Sequence[Mapping[str, Any]]) -> _Seen:
    totals: Counter[str] = Counter()
    latest: dict[str, float] = {}
    for step in steps:
        numbers = {name: value for name, value in step.get("agentrft", {}).items() if value is not None}
        totals.update(numbers)
        latest.update(numbers)
    return _Seen(job=job, last=steps[-1] if steps else {}, totals=totals, latest=latest)


def _metric(family: _Family, jobs: Sequence[_Seen]) -> Metric:
    pattern = re.compile(f"(?P<split>train|valid)_{family.made_of}")
    kind = CounterMetricFamily if family.total else GaugeMetricFamily
    metric = kind(f"agentrft_job_{family.name}", family.help, labels=["job", *pattern.groupindex])
    for seen in jobs:
        for name, value in (seen.totals if family.total else seen.latest).items():
            found = pattern.fullmatch(name)
            if found:
                metric.add_metric([seen.job.id, *(_QUANTILES.get(part, part) for part in found.groups())], value)
    return metric


def _waits(seen: _Seen) -> float:
    phase = (seen.job.progress or {}).get("phase")
    return float(seen.job.status is JobStatus.RUNNING and phase == _WAITING)
