"""From the body of a job request to its settled shape: every part read, names of defaults filled in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from agentrft.domain.errors import UserError
from agentrft.domain.job import Method
from agentrft.wire.fine_tuning import JobRequest, MethodSettings, Reinforcement, Supervised
from agentrft.wire.graders import parse_grader
from agentrft.wire.masking import mask
from agentrft.wire.strict import parse


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSpec:
    """A well-formed request. Whether its files, model and grader exist is not known yet."""

    method: Method
    model: str
    training_file: str
    validation_file: str | None
    suffix: str | None
    seed: int | None
    metadata: Mapping[str, str] | None
    tools: tuple[str, ...]  # names of the tools that the job serves
    grader: Mapping[str, Any] | None = field(repr=False)
    settings: Mapping[str, Any] = field(repr=False)  # `{"type": ..., <type>: {...}}` with defaults, secrets in clear

    @property
    def monitor_graders(self) -> Sequence[Mapping[str, Any]]:
        """As they were sent, or in normal form after `with_monitors`."""
        ours = self.settings[self.method.value].get("agentrft") or {}
        return tuple(ours.get("monitor_graders") or ())

    def with_monitors(self, graders: Sequence[Mapping[str, Any]]) -> "JobSpec":
        """The same job with these monitor graders in place of those that were sent."""
        inner = self.settings[self.method.value]
        inner = {**inner, "agentrft": {**(inner.get("agentrft") or {}), "monitor_graders": list(graders)}}
        return replace(self, settings={**self.settings, self.method.value: inner})

    @property
    def masked_settings(self) -> Mapping[str, Any]:
        """`settings` as they may be shown."""
        return mask(self.settings)


def read_job_request(body: object) -> JobSpec:
    """Read the body of `POST /v1/fine_tuning/jobs`.

    Raises:
        UserError: something is unknown, missing, of the wrong type, out of range or not supported.
    """
    request = parse(JobRequest, body)
    if request.integrations:
        raise UserError("Integrations are not supported yet.", param="integrations", code="unsupported_value")
    method = _read_method(request)
    settings = _read_settings(method, request)
    inner = settings[method.value]
    return JobSpec(
        method=method,
        model=request.model,
        training_file=request.training_file,
        validation_file=request.validation_file,
        suffix=request.suffix,
        seed=request.seed,
        metadata=request.metadata,
        tools=tuple(tool["name"] for tool in inner.get("tools") or ()),
        grader=inner.get("grader"),
        settings=settings,
    )


def _read_method(request: JobRequest) -> Method:
    if request.method is None:
        return Method.SUPERVISED
    kind = parse(MethodSettings, request.method, at="method").type
    if kind == "dpo":
        message = "The method 'dpo' is not supported. Use 'reinforcement' or 'supervised'."
        raise UserError(message, param="method.type", code="unsupported_value")
    return Method(kind)


def _read_settings(method: Method, request: JobRequest) -> dict[str, Any]:
    at = f"method.{method.value}"
    given = (request.method or {}).get(method.value)
    if method is Method.REINFORCEMENT:
        return {"type": method.value, method.value: _read_reinforcement(given, at, request.hyperparameters)}
    body, at = _with_old_hyperparameters(given, request.hyperparameters, at)
    supervised = parse(Supervised, body, at=at).model_dump(exclude_none=True)
    return {"type": method.value, method.value: supervised}


def _read_reinforcement(given: object, at: str, old_hyperparameters: object) -> dict[str, Any]:
    if given is None:
        raise UserError(f"Missing required parameter: '{at}'.", param=at, code="missing_required_parameter")
    if old_hyperparameters:
        message = f"Give the hyperparameters of a reinforcement job in '{at}.hyperparameters'."
        raise UserError(message, param="hyperparameters", code="invalid_value")
    read = parse(Reinforcement, given, at=at)
    settings = read.model_dump(exclude_none=True, by_alias=True, mode="json")
    settings["grader"] = parse_grader(read.grader, at=f"{at}.grader")
    return {"response_format": None, "tools": [], **settings}


def _with_old_hyperparameters(given: object, old: object, at: str) -> tuple[object, str]:
    """Supervised settings and the path to name in errors; OpenAI still takes `hyperparameters` at the top."""
    if not old:
        return given or {}, at
    if given:
        message = f"Give hyperparameters once, in '{at}.hyperparameters'."
        raise UserError(message, param="hyperparameters", code="invalid_value")
    return {"hyperparameters": old}, ""
