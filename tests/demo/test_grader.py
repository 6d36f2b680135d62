import inspect
from typing import Any

import pytest

from agentrft.demo import grader
from agentrft.demo.grader import grade

ITEM = {"reference_answer": "412", "report": "river_foods/2015.txt"}


def sample(text: str | None, *paths: str) -> dict[str, Any]:
    calls = [{"type": "function", "function": {"name": "cat", "arguments": f'{{"path": "{path}"}}'}} for path in paths]
    return {"output_text": text, "output_tools": calls}


@pytest.mark.parametrize("text", ["412", " 412 ", "412.", "412.0"])
def test_exactly_the_number_earns_everything(text: str) -> None:
    assert grade(sample(text), ITEM) == 1.0


@pytest.mark.parametrize("text", ["The figure was 412.", "In 2015 it was 412", "412 million"])
def test_the_number_in_a_sentence_earns_half(text: str) -> None:
    assert grade(sample(text), ITEM) == 0.5


@pytest.mark.parametrize("text", ["", None, "413", "Costs: 300 Debt: 90 Revenue: 412", "412 or 413", "4120"])
def test_anything_else_earns_a_little_for_the_right_report_alone(text: str | None) -> None:
    assert grade(sample(text), ITEM) == 0.0
    assert grade(sample(text, "river_foods/2014.txt"), ITEM) == 0.0
    assert grade(sample(text, "x", "/river_foods/2015.txt"), ITEM) == 0.2


def test_malformed_calls_open_nothing() -> None:
    for arguments in ("{", "[]", '"river_foods/2015.txt"', "{}"):
        call = {"function": {"name": "cat", "arguments": arguments}}
        assert grade({"output_text": "", "output_tools": [call]}, ITEM) == 0.0
    listing = {"function": {"name": "list", "arguments": '{"path": "river_foods/2015.txt"}'}}
    assert grade({"output_text": "", "output_tools": [listing]}, ITEM) == 0.0


def test_the_source_stands_on_its_own() -> None:
    namespace: dict[str, Any] = {}
    exec(inspect.getsource(grader), namespace)
    assert namespace["grade"](sample("412"), ITEM) == 1.0
    assert isinstance(namespace["grade"](sample(""), ITEM), float)
