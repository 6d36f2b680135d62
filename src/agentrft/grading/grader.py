"""The engine's `Grader` port: builds what a grader sees from an episode, and what the engine sees from a score."""

import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self

from agentrft.domain.episode import Episode, Grade
from agentrft.domain.faults import Fault
from agentrft.grading.endpoint import EndpointScorer
from agentrft.grading.python_grader import PythonScorer
from agentrft.grading.samples import sample_from_episode
from agentrft.grading.sandbox import SandboxLimits
from agentrft.grading.scoring import Scorer, Subject
from agentrft.grading.specs import DEFAULT_PARAM, EndpointSpec, GraderSpec, PythonSpec, StringCheckSpec, read_spec
from agentrft.grading.string_check import StringCheckScorer
from agentrft.outbound.signature import Signer
from agentrft.outbound.transport import backoff_s


class SpecGrader:
    """Grades episodes as a specification says. Use as an async context manager."""

    def __init__(self, name: str, scorer: Scorer, *, structured: bool) -> None:
        self.name = name
        self._scorer = scorer
        self._structured = structured

    async def __aenter__(self) -> Self:
        await self._scorer.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._scorer.close()

    async def grade(self, episode: Episode) -> Grade | Fault:
        """The reward of an episode; a `Fault` when the grader failed, never a zero for it."""
        subject = Subject(
            sample=sample_from_episode(episode, structured=self._structured),
            item=episode.item.row,
            trace_id=episode.trace_id,
        )
        started = time.perf_counter()
        score = await self._scorer.score(subject)
        if isinstance(score, Fault):
            return score
        return Grade(
            reward=score.reward,
            parts={self.name: score.reward},
            errors={flag.value: details for flag, details in score.errors.items()},
            latency_s=time.perf_counter() - started,
        )


def make_grader(
    spec: Mapping[str, Any],
    *,
    response_format: Mapping[str, Any] | None = None,
    param: str = DEFAULT_PARAM,
    backoff_s: Callable[[int], float] = backoff_s,
    sandbox_limits: SandboxLimits | None = None,
    signer: Signer | None = None,
) -> SpecGrader:
    """The grader that `spec` describes.

    Args:
        response_format: the job's; when it is set, graders find the parsed answer in `sample.output_json`.
        param: where `spec` stands in the request, for errors.
        backoff_s: seconds that an endpoint grader pauses after the n-th failed try, n from 1.
        signer: signs the requests of endpoint graders.

    Raises:
        UserError: as `validate_grader`.
    """
    checked = read_spec(spec, param=param)
    scorer = make_scorer(checked, backoff_s=backoff_s, sandbox_limits=sandbox_limits, signer=signer)
    return SpecGrader(checked.name, scorer, structured=_asks_for_json(response_format))


def _asks_for_json(response_format: Mapping[str, Any] | None) -> bool:
    return response_format is not None and response_format.get("type") != "text"


def make_scorer(
    spec: GraderSpec,
    *,
    backoff_s: Callable[[int], float] = backoff_s,
    sandbox_limits: SandboxLimits | None = None,
    signer: Signer | None = None,
) -> Scorer:
    """The scorer of a checked specification."""
    match spec:
        case StringCheckSpec():
            return StringCheckScorer(spec)
        case PythonSpec():
            return PythonScorer(spec, limits=sandbox_limits)
        case EndpointSpec():
            return EndpointScorer(spec, backoff_s=backoff_s, signer=signer)
