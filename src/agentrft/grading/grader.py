"""The engine's `Grader` port: builds what a grader sees from an episode, and what the engine sees from a score."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType, TracebackType
from typing import Any, Self

from agentrft.domain.episode import Episode, Grade
from agentrft.domain.errors import UserError
from agentrft.domain.faults import Fault
from agentrft.domain.job import JudgeEndpoint
from agentrft.grading.endpoint import EndpointScorer
from agentrft.grading.judge import JudgeClient, JudgeTurns
from agentrft.grading.model_graders import LabelModelScorer, ScoreModelScorer
from agentrft.grading.multi import MultiScorer
from agentrft.grading.python_grader import PythonScorer
from agentrft.grading.ruler import Ranker
from agentrft.grading.samples import sample_from_episode
from agentrft.grading.sandbox import SandboxLimits
from agentrft.grading.scoring import Scorer, Subject
from agentrft.grading.specs import DEFAULT_PARAM, Judges, read_spec
from agentrft.grading.string_check import StringCheckScorer
from agentrft.grading.text_similarity import TextSimilarityScorer
from agentrft.outbound.signature import Signer
from agentrft.outbound.transport import backoff_s
from agentrft.wire.graders import (
    EndpointGrader,
    Grader,
    LabelModelGrader,
    MultiGrader,
    PythonGrader,
    RulerGrader,
    ScoreModelGrader,
    StringCheckGrader,
    TextSimilarityGrader,
)

NO_JUDGES: Judges = MappingProxyType(dict[str, JudgeEndpoint]())


class SpecGrader:
    """Grades episodes as a specification says. Use as an async context manager."""

    def __init__(self, name: str, scorer: Scorer, *, structured: bool, sees_trace: bool = True) -> None:
        self.name = name
        self._scorer = scorer
        self._structured = structured
        self._sees_trace = sees_trace

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
            sample=sample_from_episode(episode, structured=self._structured, trace=self._sees_trace),
            item=episode.item.row,
            trace_id=episode.trace_id,
        )
        started = time.perf_counter()
        score = await self._scorer.score(subject)
        if isinstance(score, Fault):
            return score
        return Grade(
            reward=score.reward,
            parts=score.parts or {self.name: score.reward},
            errors={flag.value: details for flag, details in score.errors.items()},
            usage=score.usage,
            latency_s=time.perf_counter() - started,
        )


def make_grader(
    spec: Mapping[str, Any] | Grader,
    *,
    judges: Judges = NO_JUDGES,
    turns: JudgeTurns | None = None,
    response_format: Mapping[str, Any] | None = None,
    sees_trace: bool = True,
    param: str = DEFAULT_PARAM,
    backoff_s: Callable[[int], float] = backoff_s,
    sandbox_limits: SandboxLimits | None = None,
    signer: Signer | None = None,
) -> SpecGrader:
    """The grader that `spec` describes; a ruler is made by `make_ranker`.

    Args:
        spec: to be read, which blocks for a while where it has a long python source; or as `read_spec` has read it.
        judges: those that it asks, as `find_judges` gives them.
        turns: those of all graders that ask these judges together; left out, this one's alone.
        response_format: the job's; when it is set, graders find the parsed answer in `sample.output_json`.
        sees_trace: whether graders get the whole way to the answer under `sample.agentrft`.
        param: where `spec` stands in the request, for errors.
        backoff_s: seconds that endpoints and judges are given after the n-th failed try, n from 1.
        signer: signs the requests of endpoint graders.

    Raises:
        UserError: as `validate_grader`; or it needs a judge that is not given, or a whole group.
    """
    checked = read_spec(spec, param=param) if isinstance(spec, Mapping) else spec
    scorer = make_scorer(
        checked,
        judges=judges,
        turns=turns,
        param=param,
        backoff_s=backoff_s,
        sandbox_limits=sandbox_limits,
        signer=signer,
    )
    return SpecGrader(checked.name, scorer, structured=_asks_for_json(response_format), sees_trace=sees_trace)


def make_ranker(
    spec: Mapping[str, Any],
    *,
    judges: Judges,
    turns: JudgeTurns | None = None,
    param: str = DEFAULT_PARAM,
    backoff_s: Callable[[int], float] = backoff_s,
) -> Ranker:
    """The grader of whole groups that a ruler describes; arguments and errors as of `make_grader`."""
    checked = read_spec(spec, param=param)
    if not isinstance(checked, RulerGrader):
        raise UserError(f"'{param}' must be a ruler.", param=f"{param}.type", code="invalid_value")
    factory = _Factory(judges=judges, turns=turns or JudgeTurns(), param=param, backoff_s=backoff_s)
    return Ranker(checked, factory.client(checked, checked.name))


def make_scorer(
    spec: Grader,
    *,
    judges: Judges = NO_JUDGES,
    turns: JudgeTurns | None = None,
    param: str = DEFAULT_PARAM,
    backoff_s: Callable[[int], float] = backoff_s,
    sandbox_limits: SandboxLimits | None = None,
    signer: Signer | None = None,
) -> Scorer:
    """The scorer of a checked specification."""
    factory = _Factory(
        judges=judges,
        turns=turns or JudgeTurns(),
        param=param,
        backoff_s=backoff_s,
        sandbox_limits=sandbox_limits,
        signer=signer,
    )
    return factory.scorer(spec)


def _asks_for_json(response_format: Mapping[str, Any] | None) -> bool:
    return response_format is not None and response_format.get("type") != "text"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Factory:
    """Makes the scorers of a specification and of its parts, all with the same means."""

    judges: Judges
    turns: JudgeTurns
    param: str
    backoff_s: Callable[[int], float]
    sandbox_limits: SandboxLimits | None = None
    signer: Signer | None = None

    def scorer(self, spec: Grader) -> Scorer:
        match spec:
            case StringCheckGrader():
                return StringCheckScorer(spec)
            case TextSimilarityGrader():
                return TextSimilarityScorer(spec)
            case PythonGrader():
                return PythonScorer(spec, limits=self.sandbox_limits)
            case EndpointGrader():
                return EndpointScorer(spec, backoff_s=self.backoff_s, signer=self.signer)
            case ScoreModelGrader():
                return ScoreModelScorer(spec, self.client(spec, spec.name))
            case LabelModelGrader():
                return LabelModelScorer(spec, self.client(spec, spec.name))
            case MultiGrader():
                return MultiScorer(spec, {key: self.scorer(part) for key, part in spec.graders.items()})
            case RulerGrader():
                message = f"Invalid '{self.param}': a ruler compares the attempts of a group; one alone has no grade."
                raise UserError(message, param=f"{self.param}.type", code="unsupported_value")

    def client(self, spec: ScoreModelGrader | LabelModelGrader | RulerGrader, where: str) -> JudgeClient:
        judge = self.judges.get(spec.model)
        if judge is None:
            message = f"There is no judge '{spec.model}' for the grader '{spec.name}'."
            raise UserError(message, param=f"{self.param}.model", code="model_not_found")
        return JudgeClient(
            judge,
            where=where,
            sampling=spec.sampling_params,
            turns=self.turns.of(judge),
            backoff_s=self.backoff_s,
        )
