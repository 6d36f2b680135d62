"""Graders: the engine's `Grader` and `GroupGrader`, the reading of specifications, and single gradings."""

from agentrft.grading.grader import SpecGrader, make_grader, make_ranker
from agentrft.grading.judge import JudgeTurns
from agentrft.grading.ruler import Ranker
from agentrft.grading.single import run_grader, without_extras
from agentrft.grading.specs import find_judges, normal_form, read_spec, validate_grader

__all__ = [
    "JudgeTurns",
    "Ranker",
    "SpecGrader",
    "find_judges",
    "make_grader",
    "make_ranker",
    "normal_form",
    "read_spec",
    "run_grader",
    "validate_grader",
    "without_extras",
]
