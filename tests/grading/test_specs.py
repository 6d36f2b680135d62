import re

import pytest

from agentrft.domain.errors import UserError
from agentrft.grading import validate_grader

CHECK = {"type": "string_check", "name": "c", "input": "{{sample.output_text}}", "reference": "x", "operation": "eq"}
PYTHON = {"type": "python", "name": "p", "source": "def grade(sample, item):\n    return 1.0\n"}
ENDPOINT = {"type": "endpoint", "name": "e", "url": "https://example.com/grade"}


def refuse(spec, **kwargs) -> UserError:
    with pytest.raises(UserError) as caught:
        validate_grader(spec, **kwargs)
    return caught.value


@pytest.mark.parametrize(
    "spec",
    [
        CHECK,
        PYTHON,
        {**PYTHON, "image_tag": "2025-05-08", "pass_threshold": 0.5},
        {**ENDPOINT, "headers": {"Authorization": "Bearer k"}, "rate_limit": 50.0, "pass_threshold": 8.0},
    ],
)
def test_a_complete_grader_stays_as_it_is(spec) -> None:
    expected = spec if spec["type"] != "endpoint" else {"headers": {}, **spec}
    assert validate_grader(spec) == expected


@pytest.mark.parametrize("name", [{}, {"name": None}])
def test_a_grader_without_a_name_gets_one(name) -> None:
    spec = validate_grader({"type": "python", "source": PYTHON["source"], **name})
    assert re.fullmatch(r"grader-[A-Za-z0-9]{12}", spec["name"])


def test_aliases_are_settled() -> None:
    assert validate_grader({**CHECK, "operation": "neq"})["operation"] == "ne"
    endpoint = validate_grader({**ENDPOINT, "max_rps": 5, "rate_limit": None})
    assert (endpoint["rate_limit"], "max_rps" in endpoint) == (5.0, False)


@pytest.mark.parametrize("kind", ["text_similarity", "score_model", "label_model", "multi"])
def test_types_still_to_come_are_refused_as_such(kind) -> None:
    error = refuse({"type": kind, "name": "x"})
    assert error.message == (
        f"Graders of type '{kind}' are not supported yet; use one of string_check, python, endpoint."
    )
    assert error.param == "method.reinforcement.grader.type"


@pytest.mark.parametrize(
    ("spec", "path", "code"),
    [
        ({}, ".type", "missing_required_parameter"),
        ({"type": "magic"}, ".type", "invalid_value"),
        ({"type": ["python"]}, ".type", "invalid_value"),
        ({"type": "python", "name": "p"}, ".source", "missing_required_parameter"),
        ({**PYTHON, "sauce": 1}, ".sauce", "unknown_parameter"),
        ({**PYTHON, "name": ""}, ".name", "invalid_value"),
        ({**PYTHON, "name": 3}, ".name", "invalid_value"),
        ({**PYTHON, "image_tag": "2020-01-01"}, ".image_tag", "invalid_value"),
        ({**PYTHON, "source": "def grade(:"}, ".source", "invalid_value"),
        ({**CHECK, "operation": "is"}, ".operation", "invalid_value"),
        ({**CHECK, "pass_threshold": 1.0}, ".pass_threshold", "unknown_parameter"),
        ({**CHECK, "input": "{{answer}}"}, ".input", "invalid_value"),
        ({**CHECK, "reference": "{{item.x"}, ".reference", "invalid_value"),
        ({**ENDPOINT, "url": "example.com"}, ".url", "invalid_value"),
        ({**ENDPOINT, "rate_limit": 0}, ".rate_limit", "invalid_value"),
        ({**ENDPOINT, "rate_limit": 1, "max_rps": 2}, ".max_rps", "unknown_parameter"),
        ({**ENDPOINT, "headers": {"A": 5}}, ".headers.A", "invalid_value"),
        ({**ENDPOINT, "headers": {"A": "s3cret\n"}}, ".headers", "invalid_value"),
    ],
)
def test_a_mistake_is_named_by_its_path(spec, path, code) -> None:
    error = refuse(spec)
    assert (error.param, error.code) == ("method.reinforcement.grader" + path, code)
    assert "s3cret" not in error.message


def test_the_path_begins_where_the_caller_says() -> None:
    assert refuse({}, param="grader").param == "grader.type"
    assert refuse("python", param="grader").param == "grader"
