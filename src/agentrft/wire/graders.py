"""Graders as a job states them, and what their normalised form is.

Whether a python source compiles or an endpoint answers is for `agentrft.grading` to say.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from agentrft.domain.errors import UserError
from agentrft.domain.ids import new_id
from agentrft.wire.strict import Strict, parse

MAX_SOURCE_BYTES = 256_000
_NOT_YET = ("text_similarity", "score_model", "multi", "label_model")
_HEADER_NAME = re.compile(r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")


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
        if not _HEADER_NAME.match(name) or any(character in value for character in "\r\n\0"):
            raise ValueError(
                f"{name!r} cannot be sent as a header: its name or value has characters that HTTP forbids."
            )
    return headers


def _check_source(source: str) -> str:
    if len(source.encode()) >= MAX_SOURCE_BYTES:
        raise ValueError(f"must be smaller than {MAX_SOURCE_BYTES // 1000} kB.")
    return source


HttpUrl = Annotated[str, Field(max_length=2048), AfterValidator(_check_url)]
Headers = Annotated[dict[str, str], AfterValidator(_check_headers)]
GraderName = Annotated[str, Field(min_length=1, max_length=256)]


class StringCheckGrader(Strict):
    """1.0 when `input` and `reference` compare as `operation` says, else 0.0."""

    type: Literal["string_check"]
    name: GraderName | None = None
    input: str
    reference: str
    operation: Literal["eq", "ne", "neq", "like", "ilike"]


class PythonGrader(Strict):
    """`source` defines `grade(sample, item)`."""

    type: Literal["python"]
    name: GraderName | None = None
    source: Annotated[str, Field(min_length=1), AfterValidator(_check_source)]
    image_tag: Literal["2025-05-08"] | None = None
    pass_threshold: float | None = None


class EndpointGrader(Strict):
    """The user's own HTTP endpoint. Header values are secrets."""

    type: Literal["endpoint"]
    name: GraderName | None = None
    url: HttpUrl
    headers: Headers | None = Field(default=None, repr=False)
    rate_limit: Annotated[float, Field(gt=0)] | None = None  # requests a second
    max_rps: Annotated[float, Field(gt=0)] | None = None  # OpenAI's inner name of the same
    pass_threshold: float | None = None


class GraderRun(Strict):
    """The body of `POST /v1/fine_tuning/alpha/graders/run`; `agentrft.grading` reads the grader."""

    grader: dict[str, Any]
    model_sample: str
    item: dict[str, Any] | None = None
    trace_id: str | None = None


class GraderValidate(Strict):
    """The body of `POST /v1/fine_tuning/alpha/graders/validate`."""

    grader: dict[str, Any]


_KINDS: Mapping[str, type[Strict]] = {
    "string_check": StringCheckGrader,
    "python": PythonGrader,
    "endpoint": EndpointGrader,
}


def parse_grader(body: object, *, at: str) -> dict[str, Any]:
    """The normalised grader: a name filled in, absent fields absent, `neq` and `max_rps` under their usual names.

    Args:
        body: the grader as it was sent.
        at: its dotted path, e.g. `method.reinforcement.grader`.

    Raises:
        UserError: it is malformed, or of a kind that cannot be used yet.
    """
    if not isinstance(body, Mapping):
        raise UserError(f"Invalid type for '{at}': expected an object.", param=at, code="invalid_type")
    kind = body.get("type")
    if kind is None:
        raise UserError(
            f"Missing required parameter: '{at}.type'.", param=f"{at}.type", code="missing_required_parameter"
        )
    if not isinstance(kind, str) or kind not in _KINDS:
        raise _refuse_kind(kind, at)
    grader = parse(_KINDS[kind], body, at=at).model_dump(exclude_none=True)
    if "max_rps" in grader:
        max_rps = grader.pop("max_rps")
        grader.setdefault("rate_limit", max_rps)
    if grader.get("operation") == "neq":
        grader["operation"] = "ne"
    return {"type": kind, "name": new_id("grader-", 12), **grader}


def _refuse_kind(kind: object, at: str) -> UserError:
    usable = ", ".join(_KINDS)
    if kind in _NOT_YET:
        message = f"Invalid '{at}.type': '{kind}' graders are not supported yet. Use one of: {usable}."
        return UserError(message, param=f"{at}.type", code="unsupported_value")
    message = f"Invalid '{at}.type': must be one of: {usable}."
    return UserError(message, param=f"{at}.type", code="invalid_value")
