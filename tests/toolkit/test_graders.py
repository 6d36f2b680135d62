import asyncio
from decimal import Decimal
from typing import Any

import pytest

import agentrft
from agentrft.toolkit.graders import as_score

SAMPLE, ITEM = {"output_text": "42"}, {"reference_answer": "42"}


@agentrft.grader
def exact(sample: dict[str, Any], item: dict[str, Any]) -> float:
    return float(sample["output_text"] == item["reference_answer"])


@agentrft.grader(name="by-trace")
async def traced(sample: dict[str, Any], item: dict[str, Any], *, trace_id: str) -> float:
    return float(trace_id == "trace_1")


def test_a_grader_can_be_called_as_before_and_is_bound_to_an_attempt() -> None:
    assert exact(SAMPLE, ITEM) == 1.0
    assert exact.bind(SAMPLE, ITEM, "trace_1")() == 1.0
    assert (traced.name, asyncio.run(traced.bind(SAMPLE, ITEM, "trace_1")())) == ("by-trace", 1.0)


@pytest.mark.parametrize("function", [lambda: 1.0, lambda sample: 1.0, lambda sample, item, more: 1.0])
def test_a_function_of_another_form_is_refused(function: Any) -> None:
    with pytest.raises(TypeError, match=r"must take \(sample, item\)"):
        agentrft.grader(name="g")(function)


def test_a_score_is_a_finite_number() -> None:
    assert [as_score(value) for value in (1, True, 0.5, Decimal("0.25"))] == [1.0, 1.0, 0.5, 0.25]
    for value in (None, "high", float("nan"), float("inf"), [1.0]):
        with pytest.raises(ValueError, match="a grader returns a"):
            as_score(value)
