"""Graders as requests state them: the shape of each type, its aliases settled, a name given to those without one.

What a shape cannot tell (does a template parse, does a source compile, is there such a judge) is asked by
`agentrft.grading.specs`, the one place where a grader is read.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from agentrft.domain.errors import UserError
from agentrft.domain.ids import new_id
from agentrft.wire.judging import JudgeMessage, SamplingParams
from agentrft.wire.masking import refuse_mask
from agentrft.wire.strict import Strict, name_type, parse

MAX_PARTS = 32
MAX_TEXT_CHARS = 65_536  # of a label or a rubric
Metric = Literal[
    "fuzzy_match", "bleu", "gleu", "meteor", "cosine", "rouge_1", "rouge_2", "rouge_3", "rouge_4", "rouge_5", "rouge_l"
]  # fmt: skip
_HEADER_NAME = re.compile(r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def _check_url(url: str) -> str:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise ValueError("must be an http or https URL.")
    return url


def _check_headers(headers: dict[str, str]) -> dict[str, str]:
    for name, value in headers.items():
        controls = any(ord(character) < 32 and character != "\t" for character in value)
        if not _HEADER_NAME.match(name) or controls or value != value.strip():
            raise ValueError(
                f"{name!r} cannot be sent as a header: its name or value has characters that HTTP forbids."
            )
    return headers


def _new_name() -> str:
    return new_id("grader-", 12)


HttpUrl = Annotated[str, Field(max_length=2048), AfterValidator(_check_url)]
Headers = Annotated[dict[str, str], AfterValidator(_check_headers)]
GraderName = Annotated[
    str, Field(min_length=1, max_length=256), BeforeValidator(lambda name: _new_name() if name is None else name)
]
Operation = Annotated[
    Literal["eq", "ne", "like", "ilike"], BeforeValidator(lambda given: "ne" if given == "neq" else given)
]
Label = Annotated[str, Field(min_length=1, max_length=MAX_TEXT_CHARS)]


class _Grader(Strict):
    name: GraderName = Field(default_factory=_new_name)


class StringCheckGrader(_Grader):
    """1.0 when `input` and `reference` compare as `operation` says, else 0.0."""

    type: Literal["string_check"]
    input: str
    reference: str
    operation: Operation


class TextSimilarityGrader(_Grader):
    """How alike `input` and `reference` are, from 0 to 1."""

    type: Literal["text_similarity"]
    input: str
    reference: str
    evaluation_metric: Metric
    pass_threshold: float | None = None


class PythonGrader(_Grader):
    """`source` defines `grade(sample, item)`."""

    type: Literal["python"]
    source: Annotated[str, Field(min_length=1)]
    image_tag: Literal["2025-05-08"] | None = None
    pass_threshold: float | None = None


class ScoreModelGrader(_Grader):
    """A judge model gives a number within `range`."""

    type: Literal["score_model"]
    model: Annotated[str, Field(min_length=1)]
    input: Annotated[list[JudgeMessage], Field(min_length=1)]
    range: Annotated[list[float], Field(min_length=2, max_length=2)] | None = None
    sampling_params: SamplingParams | None = None
    pass_threshold: float | None = None

    @model_validator(mode="after")
    def _range_is_one(self) -> Self:
        if self.range is not None and self.range[0] >= self.range[1]:
            raise ValueError("range must be [lowest, highest], the lowest first.")
        return self


class LabelModelGrader(_Grader):
    """A judge model chooses one of `labels`; 1.0 when it is among `passing_labels`, else 0.0."""

    type: Literal["label_model"]
    model: Annotated[str, Field(min_length=1)]
    input: Annotated[list[JudgeMessage], Field(min_length=1)]
    labels: Annotated[list[Label], Field(min_length=1)]
    passing_labels: Annotated[list[Label], Field(min_length=1)]
    sampling_params: SamplingParams | None = None

    @model_validator(mode="after")
    def _passing_labels_are_labels(self) -> Self:
        strange = next((label for label in self.passing_labels if label not in self.labels), None)
        if strange is not None:
            raise ValueError(f"passing_labels has {strange!r}, which is not one of labels.")
        return self


class EndpointGrader(_Grader):
    """The user's own HTTP endpoint. Header values are secrets."""

    type: Literal["endpoint"]
    url: HttpUrl
    headers: Headers | None = Field(default=None, repr=False)
    rate_limit: Annotated[float, Field(gt=0)] | None = None  # requests a second
    pass_threshold: float | None = None

    @model_validator(mode="before")
    @classmethod
    def _max_rps_is_rate_limit(cls, body: Any) -> Any:
        """`max_rps` is OpenAI's inner name; beside a `rate_limit` it stays, and is refused as unknown."""
        if isinstance(body, Mapping) and body.get("rate_limit") is None and "max_rps" in body:
            return {"rate_limit": body["max_rps"]} | {
                key: value for key, value in body.items() if key not in ("max_rps", "rate_limit")
            }
        return body


class RulerGrader(_Grader):
    """Ours: a judge model compares the attempts of a group with each other, by `rubric` where one is given."""

    type: Literal["ruler"]
    model: Annotated[str, Field(min_length=1)]
    rubric: Annotated[str, Field(min_length=1, max_length=MAX_TEXT_CHARS)] | None = None
    sampling_params: SamplingParams | None = None


PartGrader = (
    StringCheckGrader | TextSimilarityGrader | PythonGrader | ScoreModelGrader | LabelModelGrader | EndpointGrader
)


class MultiGrader(_Grader):
    """A formula over the rewards of other graders; the keys of `graders` are its variables."""

    type: Literal["multi"]
    graders: Annotated[dict[str, PartGrader], Field(min_length=1, max_length=MAX_PARTS)]
    calculate_output: str
    pass_threshold: float | None = None
    invalid_grade: float | None = None  # sent by some notebooks; a grading that fails is no reward here


Grader = PartGrader | MultiGrader | RulerGrader

_PARTS: Mapping[str, type[PartGrader]] = {
    "string_check": StringCheckGrader,
    "text_similarity": TextSimilarityGrader,
    "python": PythonGrader,
    "score_model": ScoreModelGrader,
    "label_model": LabelModelGrader,
    "endpoint": EndpointGrader,
}
_KINDS: Mapping[str, type[Grader]] = {**_PARTS, "multi": MultiGrader, "ruler": RulerGrader}


class GraderRun(Strict):
    """The body of `POST /v1/fine_tuning/alpha/graders/run`; `agentrft.grading` reads the grader."""

    grader: dict[str, Any]
    model_sample: str
    item: dict[str, Any] | None = None
    trace_id: str | None = None


class GraderValidate(Strict):
    """The body of `POST /v1/fine_tuning/alpha/graders/validate`."""

    grader: dict[str, Any]


def read_shape(body: object, *, at: str) -> Grader:
    """The grader in its normal form: a name filled in, `neq` and `max_rps` under their usual names.

    Args:
        body: the grader as it was sent.
        at: its dotted path, e.g. `method.reinforcement.grader`.

    Raises:
        UserError: it is malformed, or a secret in it is asterisks, with the dotted path of the first mistake.
    """
    refuse_mask(body, at=at)
    kind = _KINDS[_read_kind(body, at, known=_KINDS)]
    assert isinstance(body, Mapping)
    if kind is MultiGrader and body.get("graders") is not None:
        body = {**body, "graders": _read_parts(body["graders"], at=f"{at}.graders")}
    return parse(kind, body, at=at)


def _read_kind(body: object, at: str, *, known: Mapping[str, Any]) -> str:
    if not isinstance(body, Mapping):
        message = f"Invalid type for '{at}': expected an object, but got {name_type(body)} instead."
        raise UserError(message, param=at, code="invalid_type")
    kind, param = body.get("type"), f"{at}.type"
    if kind is None:
        raise UserError(f"Missing required parameter: '{param}'.", param=param, code="missing_required_parameter")
    if not isinstance(kind, str) or kind not in known:
        message = f"Invalid '{param}': must be one of: {', '.join(known)}."
        if isinstance(kind, str) and kind in _KINDS:
            message = (
                f"Invalid '{param}': a '{kind}' grader cannot be a part of another; use one of: {', '.join(known)}."
            )
        raise UserError(message, param=param, code="invalid_value")
    return kind


def _read_parts(given: object, *, at: str) -> dict[str, PartGrader]:
    """The parts by variable. OpenAI's schema has one grader in place of the dict: its name is then its variable."""
    if isinstance(given, Mapping) and isinstance(given.get("type"), str):
        if not isinstance(given.get("name"), str):
            message = f"Missing required parameter: '{at}.name'. A single grader needs the name that the formula uses."
            raise UserError(message, param=f"{at}.name", code="missing_required_parameter")
        given, single = {given["name"]: given}, at
    else:
        single = None
    if not isinstance(given, Mapping):
        message = f"Invalid type for '{at}': expected an object, but got {name_type(given)} instead."
        raise UserError(message, param=at, code="invalid_type")
    parts = {}
    for key, body in given.items():
        here = single or f"{at}.{key}"
        if not isinstance(key, str) or not _VARIABLE.fullmatch(key):
            message = f"Invalid '{here}': {key!r} cannot be a variable; use letters, digits and underscores."
            raise UserError(message, param=here, code="invalid_value")
        parts[key] = parse(_PARTS[_read_kind(body, here, known=_PARTS)], body, at=here)
    return parts
