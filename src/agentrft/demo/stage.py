"""Everything that a training run on one machine needs, started together and stopped together."""

import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from openai import OpenAI
from rich.console import Console

from agentrft.demo.display import Display
from agentrft.demo.follow import POLL_S, JobFollower, JobNotSucceeded, StepFigures
from agentrft.demo.jobs import cancel_unfinished, tool_endpoints
from agentrft.demo.lock import exclusive
from agentrft.demo.memory import MemorySampler
from agentrft.demo.outcome import Outcome
from agentrft.demo.pace import Plan
from agentrft.demo.phases import Phases, watch
from agentrft.demo.platform import Address, answers, start_server, start_worker
from agentrft.demo.processes import Child, Processes, free_port, port_near
from agentrft.demo.tool_server import TOKEN_VARIABLE

USUAL_PORT = 8000
REQUEST_TIMEOUT_S = 120.0  # the first answer of a model waits until it is loaded


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolProgram:
    """A tool server to run: it gets `--port` added, and its bearer token in the environment (`TOKEN_VARIABLE`)."""

    command: Sequence[str]
    tool_names: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    deadline_s: float = 30.0  # until it must answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """What is running. `worker` is None when the platform was there before and is not ours."""

    processes: Processes
    worker: Child | None
    address: Address
    client: OpenAI
    endpoints: Sequence[dict[str, Any]]
    phases: Phases
    memory: MemorySampler
    poll_s: float = POLL_S

    def follow(self, job_id: str, plan: Plan, display: Display, *, show_steps: bool = True) -> list[StepFigures]:
        """Follow a job to its end. The time up to its baseline counts as `baseline`, the rest as `reinforcement`."""

        def on_step(figures: StepFigures) -> None:
            if show_steps:
                display.step(figures)
            if show_steps and figures.step == 0:
                self.phases.begin("reinforcement")

        follower = JobFollower(client=self.client, job_id=job_id, check=self.processes.check, poll_s=self.poll_s)
        try:
            return watch(follower, plan, display, on_step=on_step)
        except JobNotSucceeded as error:
            log = f"\nThe last lines of {self.worker.log}:\n{self.worker.last_lines()}" if self.worker else ""
            raise JobNotSucceeded(f"{error}{log}") from None

    def finished_model(self, job_id: str) -> str:
        """The name of the model that a job made. Raises `JobNotSucceeded` when it has none."""
        name = self.client.fine_tuning.jobs.retrieve(job_id).fine_tuned_model
        if name is None:
            raise JobNotSucceeded(f"The job {job_id} succeeded without a model; see `agentrft jobs events {job_id}`.")
        return name

    def outcome(self, steps: Sequence[StepFigures], *, seed: int) -> Outcome:
        """What the held-out questions say before and after, and what it took so far."""
        validated = [figures.validation for figures in steps if figures.validation]
        if len(validated) < 2:
            raise JobNotSucceeded("The job reported no held-out figures before and after training; see its events.")
        return Outcome(
            baseline=validated[0],
            final=validated[-1],
            steps=steps[-1].step,
            seconds=self.phases.total_s(),
            peak_rss_bytes=self.memory.peak_bytes,
            seed=seed,
            phases=self.phases.seconds(),
        )


@contextmanager
def open_stage(
    data_dir: Path, tools: ToolProgram, console: Console, *, running: Address | None = None
) -> Iterator[Stage]:
    """Start server, tool server and worker, and stop them in the end.

    Args:
        running: a platform to use instead of starting one; the tool server must be reachable from it.

    Raises `ProcessFailed` or `AlreadyRunning`.
    """
    phases = Phases()
    phases.begin("start")
    with (
        exclusive(data_dir),
        Processes(log_folder=data_dir / "logs") as processes,
        MemorySampler() as memory,
    ):
        console.print(f"Starting up; logs are in {processes.log_folder}", highlight=False, soft_wrap=True)
        address = running or start_server(processes, data_dir=data_dir, port=port_near(USUAL_PORT))
        endpoints = _start_tools(tools, processes)
        with OpenAI(base_url=address.api_url, api_key=address.api_key, timeout=REQUEST_TIMEOUT_S) as client:
            worker = None if running else _start_worker(client, processes, data_dir)
            yield Stage(
                processes=processes,
                worker=worker,
                address=address,
                client=client,
                endpoints=endpoints,
                phases=phases,
                memory=memory,
            )


def _start_worker(client: OpenAI, processes: Processes, data_dir: Path) -> Child:
    """Run a worker that finds none of an interrupted run's jobs."""
    cancel_unfinished(client)
    return start_worker(processes, data_dir=data_dir)


def _start_tools(tools: ToolProgram, processes: Processes) -> list[dict[str, Any]]:
    """Run the tool server; the job's `tools`."""
    port, token = free_port(), secrets.token_urlsafe(24)
    url = f"http://127.0.0.1:{port}"
    command = [*tools.command, "--port", str(port)]
    server = processes.start("tool server", command, {**tools.environment, TOKEN_VARIABLE: token})
    processes.wait_until(server, lambda: answers(f"{url}/health"), deadline_s=tools.deadline_s)
    return tool_endpoints(url, tools.tool_names, token=token)
