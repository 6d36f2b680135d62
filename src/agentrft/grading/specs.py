"""Grader specifications: from the request's JSON to checked models, every error with its dotted path."""

from collections.abc import Callable, Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from agentrft.domain.errors import UserError
from agentrft.domain.ids import new_id
from agentrft.grading.python_source import find_source_problem
from agentrft.grading.templates import TemplateSyntaxError, parse_template
from agentrft.outbound.transport import find_header_problem, find_url_problem

DEFAULT_PARAM = "method.reinforcement.grader"
_NOT_YET = ("text_similarity", "score_model", "label_model", "multi")
_CODES = {"missing": "missing_required_parameter", "extra_forbidden": "unknown_parameter"}


class _Spec(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    name: str = Field(min_length=1)


class StringCheckSpec(_Spec):
    type: Literal["string_check"]
    input: str
    reference: str
    operation: Literal["eq", "ne", "like", "ilike"]


class PythonSpec(_Spec):
    type: Literal["python"]
    source: str
    image_tag: Literal["2025-05-08"] | None = None
    pass_threshold: float | None = None


class EndpointSpec(_Spec):
    """`headers` hold secrets: the model must not get into a log."""

    type: Literal["endpoint"]
    url: str
    headers: dict[str, str] = Field(default_factory=dict, repr=False)
    rate_limit: float | None = Field(default=None, gt=0, allow_inf_nan=False)  # requests per second
    pass_threshold: float | None = None


GraderSpec = StringCheckSpec | PythonSpec | EndpointSpec
_MODELS: dict[str, type[GraderSpec]] = {
    "string_check": StringCheckSpec,
    "python": PythonSpec,
    "endpoint": EndpointSpec,
}


def validate_grader(spec: Mapping[str, Any], *, param: str = DEFAULT_PARAM) -> dict[str, Any]:
    """The normalised form of a grader: aliases settled, a name given. It may hold secret headers.

    Raises:
        UserError: with the dotted path of what is wrong.
    """
    return read_spec(spec, param=param).model_dump(exclude_none=True)


def read_spec(spec: Mapping[str, Any], *, param: str = DEFAULT_PARAM) -> GraderSpec:
    """As `validate_grader`, but the model itself."""
    if not isinstance(spec, Mapping):
        raise UserError(f"'{param}' must be an object.", param=param, code="invalid_type")
    model = _choose(spec.get("type"), param)
    try:
        checked = model.model_validate(_settle(spec), strict=True)
    except ValidationError as error:
        raise _translate(error, param) from None
    for key, problem in _find_problems(checked):
        raise UserError(f"'{param}.{key}' {problem}.", param=f"{param}.{key}", code="invalid_value")
    return checked


def _choose(kind: object, param: str) -> type[GraderSpec]:
    known = ", ".join(_MODELS)
    if kind is None:
        text = f"'{param}.type' is missing; give one of {known}."
        raise UserError(text, param=f"{param}.type", code="missing_required_parameter")
    if kind in _NOT_YET:
        text = f"Graders of type '{kind}' are not supported yet; use one of {known}."
        raise UserError(text, param=f"{param}.type", code="unsupported_value")
    if not isinstance(kind, str) or kind not in _MODELS:
        raise UserError(f"'{param}.type' must be one of {known}.", param=f"{param}.type", code="invalid_value")
    return _MODELS[kind]


def _settle(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Aliases and defaults: `neq`, `max_rps`, null for absent, a generated name."""
    settled = {key: value for key, value in spec.items() if value is not None}
    if settled.get("operation") == "neq":
        settled["operation"] = "ne"
    if settled["type"] == "endpoint" and "rate_limit" not in settled and "max_rps" in settled:
        settled["rate_limit"] = settled.pop("max_rps")
    settled.setdefault("name", new_id("grader-", 12))
    return settled


def _translate(error: ValidationError, param: str) -> UserError:
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    path = ".".join([param, *map(str, first["loc"])])
    code = _CODES.get(first["type"], "invalid_value")
    said = {"missing": "is missing", "extra_forbidden": "is not known"}.get(first["type"], f"is wrong: {first['msg']}")
    return UserError(f"'{path}' {said}.", param=path, code=code)


def _find_problems(spec: GraderSpec) -> list[tuple[str, str]]:
    checks: list[tuple[str, Callable[[], str | None]]]
    match spec:
        case StringCheckSpec():
            checks = [
                ("input", lambda: _find_template_problem(spec.input)),
                ("reference", lambda: _find_template_problem(spec.reference)),
            ]
        case PythonSpec():
            checks = [("source", lambda: find_source_problem(spec.source))]
        case EndpointSpec():
            checks = [
                ("url", lambda: find_url_problem(spec.url)),
                ("headers", lambda: find_header_problem(spec.headers)),
            ]
    return [(key, problem) for key, check in checks if (problem := check()) is not None]


def _find_template_problem(text: str) -> str | None:
    try:
        parse_template(text)
    except TemplateSyntaxError as error:
        return f"is no valid template: {error}"
    return None
