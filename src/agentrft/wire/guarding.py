"""The bodies of our own routes that run a grader on what is stored."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from agentrft.wire.strict import Strict

Split = Literal["train", "valid"]
Step = Annotated[int, Field(ge=0)]


class GraderCheck(Strict):
    """`POST /agentrft/v1/graders/check`: the items come from a job, with its episodes, or from an uploaded file."""

    job: str | None = None
    file: str | None = None
    grader: dict[str, Any] | None = Field(default=None, repr=False)  # absent: the job's own
    split: Split = "valid"
    step: Step | None = None  # absent: the first that there is
    items: Annotated[int, Field(ge=1, le=100)] = 20
    attempts: Annotated[int, Field(ge=1, le=16)] = 2  # real episodes of each item
    reference: str | None = None  # the field of a row that holds the right answer

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.job is None) == (self.file is None):
            raise ValueError("give either 'job' or 'file': where the items come from.")
        if self.job is None and self.grader is None:
            raise ValueError("give a 'grader': a file of items has none.")
        return self


class Regrade(Strict):
    """`POST /agentrft/v1/jobs/{id}/regrade`."""

    grader: dict[str, Any] = Field(repr=False)
    split: Split | None = None
    step: Step | None = None
    episodes: bool = False  # whether the reply has every episode, and not only what they come to
