"""Graders: the engine's `Grader` and `GroupGrader`, the reading of specifications, and single gradings."""

from agentrft.grading.grader import SpecGrader, make_grader, make_ranker
from agentrft.grading.ruler import Ranker
from agentrft.grading.single import run_grader
from agentrft.grading.specs import find_judges, validate_grader

__all__ = ["Ranker", "SpecGrader", "find_judges", "make_grader", "make_ranker", "run_grader", "validate_grader"]
