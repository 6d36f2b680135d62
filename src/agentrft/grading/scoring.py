"""What every grader type has in common: it turns a subject into a score, or says whose fault it is that it cannot."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from agentrft.domain.episode import TokenUsage
from agentrft.domain.faults import Fault


class Flag(StrEnum):
    """Error flags of a grading (API reference, section 3.9) that a score can have."""

    FORMULA = "formula_parse_error"
    INVALID_VARIABLE = "invalid_variable_error"
    PYTHON_RUNTIME = "python_grader_runtime_error"


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What is graded: the `sample` and `item` namespaces of templates, and the episode's id."""

    sample: Mapping[str, Any]
    item: Mapping[str, Any]
    trace_id: str

    @property
    def values(self) -> Mapping[str, Any]:
        """The namespaces of templates by name."""
        return {"item": self.item, "sample": self.sample}


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """A reward; `errors` holds the flags that were set, each with its details."""

    reward: float
    errors: Mapping[Flag, str] = field(default_factory=dict)
    parts: Mapping[str, float] = field(default_factory=dict)  # of a grader that is made of others, by variable
    usage: Mapping[str, TokenUsage] = field(default_factory=dict)  # by judge model; a cached verdict used nothing


class Scorer(Protocol):
    """One grader type at work. `open` before the first score, `close` after the last."""

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def score(self, subject: Subject) -> Score | Fault: ...
