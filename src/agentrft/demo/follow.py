"""Following a job to its end through the public API: status, events and the progress inside a step."""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from openai import APIStatusError, OpenAI
from openai.types.fine_tuning import FineTuningJob, FineTuningJobEvent

from agentrft.demo.jobs import FINISHED

POLL_S = 1.5
EVENTS_PER_PAGE = 100


class JobNotSucceeded(Exception):
    """A job ended `failed` or `cancelled`; the message is the platform's own reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Validation:
    """One pass over the held-out questions. A figure that the platform did not send is None."""

    reward_mean: float | None
    reward_stderr: float | None
    tool_calls_mean: float | None
    output_tokens_mean: float | None
    latency_s_mean: float | None
    n: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StepFigures:
    """What a metrics event says about one step; step 0 is the baseline and has a validation alone."""

    step: int
    total_steps: int
    loss: float | None
    reward: float | None
    tool_calls: float | None
    output_tokens: float | None
    validation: Validation | None
    seconds: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Where inside a step a job is, as the platform reports it."""

    phase: str
    step: int
    done: int
    expected: int


@dataclass(slots=True, kw_only=True)
class JobFollower:
    """Polls one job.

    Args:
        check: called at every poll; raises when waiting has become useless, as when the worker has died.
    """

    client: OpenAI
    job_id: str
    check: Callable[[], None]
    poll_s: float = POLL_S
    _seen: set[str] = field(default_factory=set)

    def updates(self) -> Iterator[StepFigures | Progress]:
        """What is new, as it comes, until the job has succeeded. Raises `JobNotSucceeded` when it does not."""
        while True:
            self.check()
            job = self.client.fine_tuning.jobs.retrieve(self.job_id)
            yield from (read_step(event.data) for event in self._new_events() if event.type == "metrics")
            if job.status in FINISHED:
                return _succeeded(job)
            progress = self._progress()
            if progress:
                yield progress
            time.sleep(self.poll_s)

    def _new_events(self) -> list[FineTuningJobEvent]:
        """Events not seen before, oldest first. The API lists the newest first, so reading stops at a known one."""
        fresh = []
        for event in self.client.fine_tuning.jobs.list_events(self.job_id, limit=EVENTS_PER_PAGE):
            if event.id in self._seen:
                break
            fresh.append(event)
        self._seen.update(event.id for event in fresh)
        return fresh[::-1]

    def _progress(self) -> Progress | None:
        root = str(self.client.base_url).removesuffix("/").removesuffix("/v1")
        try:
            found = self.client.get(f"{root}/agentrft/v1/jobs/{self.job_id}/progress", cast_to=object)
        except APIStatusError:
            return None
        return read_progress(found)


def read_step(data: object) -> StepFigures:
    """Read a metrics event. Only `step` is certain to be there."""
    top = data if isinstance(data, Mapping) else {}
    ours = top.get("agentrft") or {}
    timing = ((top.get("timing") or {}).get("step") or {}).get("full_iteration")
    return StepFigures(
        step=int(top.get("step", 0)),
        total_steps=int(top.get("total_steps", 0)),
        loss=_first(top.get("train_loss"), ours.get("train_loss"), ours.get("train/loss")),
        reward=_first(ours.get("train_reward_mean"), top.get("train_mean_reward")),
        tool_calls=ours.get("train_tool_calls_mean"),
        output_tokens=_first(ours.get("train_output_tokens_mean"), top.get("completion_tokens_mean")),
        validation=_read_validation(top, ours),
        seconds=timing,
    )


def read_progress(found: object) -> Progress | None:
    """Read the platform's progress; None while a job has none to tell."""
    progress = found.get("progress") if isinstance(found, Mapping) else None
    if not isinstance(progress, Mapping) or not progress.get("phase"):
        return None
    step, done, expected = (int(progress.get(key) or 0) for key in ("step", "done", "expected"))
    return Progress(phase=str(progress["phase"]), step=step, done=done, expected=expected)


def _read_validation(top: Mapping[str, Any], ours: Mapping[str, Any]) -> Validation | None:
    reward = _first(ours.get("valid_reward_mean"), top.get("full_valid_mean_reward"))
    if reward is None:
        return None
    graded = ours.get("valid_rollouts_graded")
    return Validation(
        reward_mean=reward,
        reward_stderr=ours.get("valid_reward_stderr"),
        tool_calls_mean=ours.get("valid_tool_calls_mean"),
        output_tokens_mean=ours.get("valid_output_tokens_mean"),
        latency_s_mean=_first(ours.get("valid_episode_s_mean"), ours.get("valid_latency_mean_s")),
        n=None if graded is None else int(graded),
    )


def _succeeded(job: FineTuningJob) -> None:
    if job.status != "succeeded":
        reason = job.error.message if job.error and job.error.message else "no reason was given"
        raise JobNotSucceeded(f"The job {job.id} {job.status}: {reason}")


def _first(*candidates: float | None) -> float | None:
    """The first figure that is there."""
    return next((candidate for candidate in candidates if candidate is not None), None)
