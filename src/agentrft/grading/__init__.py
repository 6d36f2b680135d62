"""Graders: the `Grader` port of the engine, checks of specifications, and single gradings for `/graders/run`."""

from agentrft.grading.grader import SpecGrader, make_grader
from agentrft.grading.single import run_grader
from agentrft.grading.specs import validate_grader

__all__ = ["SpecGrader", "make_grader", "run_grader", "validate_grader"]
