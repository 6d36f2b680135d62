import pytest

from agentrft.grading.python_source import MAX_SOURCE_BYTES, find_source_problem


@pytest.mark.parametrize(
    "source",
    [
        "def grade(sample, item):\n    return 1.0",
        "import json\ndef grade(sample: dict, item: dict, trace_id=None) -> float:\n    return 0",
        "def grade(*anything): return 1.0",
        "def grade(sample, item, /, *, strict=True): return 1.0",
        "def grade(sample): return 1\ndef grade(sample, item): return '\\d'",
    ],
)
def test_a_source_that_defines_grade_is_accepted(source) -> None:
    assert find_source_problem(source) is None


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("def grade(sample, item)\n    return 1", "does not compile: expected ':' (line 1)"),
        ("x = '\0'", "does not compile"),
        ("x = " + "(" * 5000, "does not compile"),
        ("\ud800", "does not compile"),
        ("", "must define a function grade"),
        ("def score(sample, item): return 1", "must define a function grade"),
        ("if True:\n    pass\nclass grade: pass", "with a plain 'def'"),
        ("async def grade(sample, item): return 1", "with a plain 'def'"),
        ("def grade(sample): return 1", "exactly these two arguments"),
        ("def grade(sample, item, trace_id): return 1", "exactly these two arguments"),
        ("def grade(sample, item, *, strict): return 1", "exactly these two arguments"),
        ("#" * MAX_SOURCE_BYTES, "must have less than 256000"),
    ],
)
def test_a_source_that_is_no_grader_is_described(source, said) -> None:
    assert said in (find_source_problem(source) or "")
