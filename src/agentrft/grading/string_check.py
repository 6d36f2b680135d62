"""string_check: compares two rendered templates (API reference, section 3.2)."""

from collections.abc import Callable

from agentrft.grading.scoring import Flag, Score, Subject
from agentrft.grading.templates import MissingVariableError, parse_template
from agentrft.wire.graders import StringCheckGrader

_OPERATIONS: dict[str, Callable[[str, str], bool]] = {
    "eq": lambda text, reference: text == reference,
    "ne": lambda text, reference: text != reference,
    "like": lambda text, reference: reference in text,
    "ilike": lambda text, reference: reference.casefold() in text.casefold(),
}


class StringCheckScorer:
    """1.0 when the comparison holds, else 0.0."""

    def __init__(self, spec: StringCheckGrader) -> None:
        self._input = parse_template(spec.input)
        self._reference = parse_template(spec.reference)
        self._holds = _OPERATIONS[spec.operation]

    async def open(self) -> None:
        """Nothing to open."""

    async def close(self) -> None:
        """Nothing to close."""

    async def score(self, subject: Subject) -> Score:
        try:
            text, reference = self._input.render(subject.values), self._reference.render(subject.values)
        except MissingVariableError as error:
            return Score(reward=0.0, errors={Flag.INVALID_VARIABLE: str(error)})
        return Score(reward=float(self._holds(text, reference)))
