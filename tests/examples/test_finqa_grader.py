import inspect
from typing import Any

import pytest
from finqa_agent import grader
from finqa_agent.grader import grade


def item(value: float | str) -> dict[str, Any]:
    return {"value": value, "page": "AAL/2014/page_1"}


@pytest.mark.parametrize(
    ("answer", "value"),
    [
        ("94", 94.0),
        ("94.5", 94.0),
        ("$ 1,234.5 million", 1234.5),
        ("13.1%", 0.131),
        ("13.1 %", 0.131),
        ("0.131", 0.131),
        ("150%", 150.0),
        ("from 80 to 94", 94.0),
        ("-3.2", -3.2),
        ("-$ 5", -5.0),
        ("0", 0.0),
        ("Yes, it did", "yes"),
        ("no", "no"),
    ],
)
def test_right_answers(answer: str, value: float | str) -> None:
    assert grade({"output_text": answer}, item(value)) == 1.0


@pytest.mark.parametrize(
    ("answer", "value"),
    [
        ("", 94.0),
        (None, 94.0),
        ("95.5", 94.0),
        ("94 or 80", 94.0),
        ("13.1", 0.131),
        ("3.2", -3.2),
        ("no", "yes"),
        ("", "no"),
    ],
)
def test_wrong_answers(answer: str | None, value: float | str) -> None:
    assert grade({"output_text": answer}, item(value)) == 0.0


def test_opening_the_right_page_earns_a_little() -> None:
    call = {"function": {"name": "cat", "arguments": '{"path": "/AAL/2014/page_1"}'}}
    assert grade({"output_text": "", "output_tools": [call]}, item(1.0)) == 0.1


def test_the_source_stands_on_its_own() -> None:
    namespace: dict[str, Any] = {}
    exec(inspect.getsource(grader), namespace)
    assert namespace["grade"]({"output_text": "94"}, item(94.0)) == 1.0
