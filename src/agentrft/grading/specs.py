"""The one place where graders are read: job creation, `graders/run`, `graders/validate` and the worker all ask here.

The shape comes from `wire.graders`; here is what needs to know the languages inside (templates, Python, formulas),
this installation's packages, and the judges that its operator has configured.
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any

from agentrft.domain.errors import UserError
from agentrft.domain.job import JudgeEndpoint
from agentrft.grading.formula import FormulaError, parse_formula
from agentrft.grading.judge_prompts import find_media, templates_of
from agentrft.grading.python_source import find_source_problem
from agentrft.grading.templates import TemplateSyntaxError, parse_template
from agentrft.grading.text_similarity import find_metric_problem
from agentrft.outbound.transport import find_header_problem, find_url_problem
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
    read_shape,
)

DEFAULT_PARAM = "method.reinforcement.grader"
Judges = Mapping[str, JudgeEndpoint]  # by the name that graders use
Problem = tuple[str, str]  # the path below the grader, and what is wrong there


def validate_grader(spec: object, *, param: str = DEFAULT_PARAM, trains: bool = True) -> dict[str, Any]:
    """The normal form of a grader: aliases settled, a name given. It may hold secret headers.

    Args:
        trains: whether it is to be the grader of a job.

    Raises:
        UserError: with the dotted path of what is wrong.
    """
    return normal_form(read_spec(spec, param=param, trains=trains))


def read_spec(spec: object, *, param: str = DEFAULT_PARAM, trains: bool = False) -> Grader:
    """As `validate_grader`, but the grader itself. Blocks: a long python source takes a while."""
    checked = read_shape(spec, at=param)
    for path, problem in _find_problems(checked):
        raise UserError(f"'{param}.{path}' {problem}.", param=f"{param}.{path}", code="invalid_value")
    if trains and isinstance(checked, LabelModelGrader):
        message = (
            f"Invalid '{param}.type': a 'label_model' grader cannot be a job's grader by itself. Make it a part of "
            'one: {"type": "multi", "graders": {"label": {...}}, "calculate_output": "label"}.'
        )
        raise UserError(message, param=f"{param}.type", code="invalid_value")
    return checked


def normal_form(checked: Grader) -> dict[str, Any]:
    """As JSON, which reads as the same grader again."""
    return checked.model_dump(exclude_none=True)


async def find_judges(
    spec: Mapping[str, Any], find: Callable[[str], Awaitable[JudgeEndpoint | None]], *, param: str = DEFAULT_PARAM
) -> Judges:
    """The judges that a grader asks.

    Args:
        find: looks one up by the name that graders use.

    Raises:
        UserError: there is no such judge, or it cannot read what it is to be shown.
    """
    judges: dict[str, JudgeEndpoint] = {}
    for path, grader in _model_graders(read_shape(spec, at=param), param):
        try:
            judge = judges.get(grader.model) or await find(grader.model)
        except UserError as error:
            raise UserError(error.message, param=f"{path}.model", code=error.code) from None
        if judge is None:
            raise UserError(_unknown_judge(grader.model, path), param=f"{path}.model", code="model_not_found")
        media = None if isinstance(grader, RulerGrader) else find_media(grader.input)
        if judge.text_only and media is not None:
            message = f"'{path}.input{media}' is no text, and the judge '{grader.model}' reads text alone."
            raise UserError(message, param=f"{path}.input{media}", code="unsupported_value")
        judges[grader.model] = judge
    return judges


def _model_graders(spec: Grader, param: str) -> Iterator[tuple[str, ScoreModelGrader | LabelModelGrader | RulerGrader]]:
    if isinstance(spec, ScoreModelGrader | LabelModelGrader | RulerGrader):
        yield param, spec
    if isinstance(spec, MultiGrader):
        for key, part in spec.graders.items():
            yield from _model_graders(part, f"{param}.graders.{key}")


def _unknown_judge(model: str, path: str) -> str:
    entry = f'{{"{model}": {{"base_url": "https://.../v1", "key_variable": "NAME_OF_A_VARIABLE"}}}}'
    return (
        f"'{path}.model': there is no judge '{model}' here. Name a model of this platform, or have the operator set "
        f"AGENTRFT_JUDGES='{entry}', or AGENTRFT_OPENAI_API_KEY for OpenAI's own models (docs/graders.md)."
    )


def _find_problems(spec: Grader) -> Iterator[Problem]:
    match spec:
        case StringCheckGrader():
            yield from _template_problems({"input": spec.input, "reference": spec.reference})
        case TextSimilarityGrader():
            yield from _template_problems({"input": spec.input, "reference": spec.reference})
            yield from _problem("evaluation_metric", find_metric_problem(spec.evaluation_metric))
        case PythonGrader():
            yield from _problem("source", find_source_problem(spec.source))
        case EndpointGrader():
            yield from _problem("url", find_url_problem(spec.url))
            yield from _problem("headers", find_header_problem(spec.headers or {}))
        case ScoreModelGrader() | LabelModelGrader():
            yield from _template_problems({f"input{at}": text for at, text in templates_of(spec.input)})
        case MultiGrader():
            for key, part in spec.graders.items():
                yield from ((f"graders.{key}.{path}", problem) for path, problem in _find_problems(part))
            yield from _problem("calculate_output", _find_formula_problem(spec))


def _problem(path: str, problem: str | None) -> Iterator[Problem]:
    if problem is not None:
        yield path, problem


def _template_problems(texts: Mapping[str, str]) -> Iterator[Problem]:
    for path, text in texts.items():
        try:
            parse_template(text)
        except TemplateSyntaxError as error:
            yield path, f"is no valid template: {error}"


def _find_formula_problem(spec: MultiGrader) -> str | None:
    try:
        problem = parse_formula(spec.calculate_output).find_unknown(spec.graders)
    except FormulaError as error:
        problem = str(error)
    return f"is no valid formula: {problem}" if problem else None
