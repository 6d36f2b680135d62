import re
from typing import Any

import pytest

from agentrft.domain.errors import UserError
from agentrft.domain.job import JudgeEndpoint
from agentrft.grading import find_judges, validate_grader

CHECK = {"type": "string_check", "name": "c", "input": "{{sample.output_text}}", "reference": "x", "operation": "eq"}
PYTHON = {"type": "python", "name": "p", "source": "def grade(sample, item):\n    return 1.0\n"}
ENDPOINT = {"type": "endpoint", "name": "e", "url": "https://example.com/grade"}
SIMILAR = {"type": "text_similarity", "name": "t", "input": "a", "reference": "b", "evaluation_metric": "rouge_l"}
ASK = [{"role": "user", "content": "{{sample.output_text}}"}]
SCORE = {"type": "score_model", "name": "s", "model": "judge", "input": ASK}
LABEL = {
    "type": "label_model",
    "name": "l",
    "model": "judge",
    "input": ASK,
    "labels": ["a", "b"],
    "passing_labels": ["a"],
}
PART = {key: value for key, value in CHECK.items() if key != "name"} | {"name": "part"}


def multi(formula: str = "a", **graders: Any) -> dict[str, Any]:
    return {"type": "multi", "name": "m", "graders": graders or {"a": CHECK}, "calculate_output": formula}


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
        {**SIMILAR, "pass_threshold": 0.8},
        {**SCORE, "range": [0.0, 10.0], "sampling_params": {"seed": 1, "max_completions_tokens": 99}},
        {"type": "multi", "name": "m", "graders": {"a": CHECK, "label": LABEL}, "calculate_output": "a * label"},
        {"type": "ruler", "name": "r", "model": "judge", "rubric": "Short is good."},
    ],
)
def test_a_complete_grader_stays_as_it_is(spec) -> None:
    assert validate_grader(spec) == spec
    assert validate_grader(validate_grader(spec)) == spec


@pytest.mark.parametrize("name", [{}, {"name": None}])
def test_a_grader_without_a_name_gets_one(name) -> None:
    spec = validate_grader({"type": "python", "source": PYTHON["source"], **name})
    assert re.fullmatch(r"grader-[A-Za-z0-9]{12}", spec["name"])


def test_aliases_are_settled() -> None:
    assert validate_grader({**CHECK, "operation": "neq"})["operation"] == "ne"
    endpoint = validate_grader({**ENDPOINT, "max_rps": 5, "rate_limit": None})
    assert (endpoint["rate_limit"], "max_rps" in endpoint) == (5.0, False)


@pytest.mark.parametrize(
    ("spec", "path", "code"),
    [
        ({}, ".type", "missing_required_parameter"),
        ({"type": "magic"}, ".type", "invalid_value"),
        ({"type": ["python"]}, ".type", "invalid_value"),
        ({"type": "python", "name": "p"}, ".source", "missing_required_parameter"),
        ({**PYTHON, "sauce": 1}, ".sauce", "unknown_parameter"),
        ({**PYTHON, "name": ""}, ".name", "invalid_value"),
        ({**PYTHON, "name": 3}, ".name", "invalid_type"),
        ({**PYTHON, "image_tag": "2020-01-01"}, ".image_tag", "invalid_value"),
        ({**PYTHON, "source": "def grade(:"}, ".source", "invalid_value"),
        ({**CHECK, "operation": "is"}, ".operation", "invalid_value"),
        ({**CHECK, "pass_threshold": 1.0}, ".pass_threshold", "unknown_parameter"),
        ({**CHECK, "input": "{{answer}}"}, ".input", "invalid_value"),
        ({**CHECK, "reference": "{{item.x"}, ".reference", "invalid_value"),
        ({**SIMILAR, "evaluation_metric": "rouge_6"}, ".evaluation_metric", "invalid_value"),
        ({**SIMILAR, "input": "{{sample.}}"}, ".input", "invalid_value"),
        ({**SCORE, "input": []}, ".input", "invalid_value"),
        ({**SCORE, "input": [{"role": "tool", "content": "x"}]}, ".input[0].role", "invalid_value"),
        (
            {**SCORE, "input": [*ASK, {"role": "user", "content": ["{{x}}"]}]},
            ".input[1].content[0].text",
            "invalid_value",
        ),
        (
            {**SCORE, "input": [{"role": "user", "content": [{"type": "magic"}]}]},
            ".input[0].content[0]",
            "invalid_value",
        ),
        (
            {**SCORE, "input": [{"role": "user", "content": {"type": "input_image", "image_url": "{{x}}"}}]},
            ".input[0].content[0].image_url",
            "invalid_value",
        ),
        ({**SCORE, "range": [1, 0]}, "", "invalid_value"),
        ({**SCORE, "range": [0]}, ".range", "invalid_value"),
        ({**SCORE, "sampling_params": {"temperature": 3}}, ".sampling_params.temperature", "invalid_value"),
        ({**SCORE, "sampling_params": {"max_tokens": 3}}, ".sampling_params.max_tokens", "unknown_parameter"),
        (LABEL, ".type", "invalid_value"),
        (multi(label={**LABEL, "passing_labels": ["c"]}), ".graders.label", "invalid_value"),
        (multi(graders="x"), ".graders.graders", "invalid_type"),
        ({**multi(), "graders": [CHECK]}, ".graders", "invalid_type"),
        ({**multi(), "graders": {}}, ".graders", "invalid_value"),
        ({**multi(), "graders": PART | {"name": None}}, ".graders.name", "missing_required_parameter"),
        (multi(**{"a-b": CHECK}), ".graders.a-b", "invalid_value"),
        (multi(a=multi()), ".graders.a.type", "invalid_value"),
        (multi(a={"type": "ruler", "model": "judge"}), ".graders.a.type", "invalid_value"),
        (multi(a={**CHECK, "reference": "{{item.x"}), ".graders.a.reference", "invalid_value"),
        (multi(a={**PYTHON, "source": "def grade(:"}), ".graders.a.source", "invalid_value"),
        (multi("a + b"), ".calculate_output", "invalid_value"),
        (multi("a +"), ".calculate_output", "invalid_value"),
        ({**ENDPOINT, "url": "example.com"}, ".url", "invalid_value"),
        ({**ENDPOINT, "rate_limit": 0}, ".rate_limit", "invalid_value"),
        ({**ENDPOINT, "rate_limit": 1, "max_rps": 2}, ".max_rps", "unknown_parameter"),
        ({**ENDPOINT, "headers": {"A": 5}}, ".headers.A", "invalid_type"),
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


def test_a_label_model_may_be_validated_by_itself_and_only_a_job_refuses_it() -> None:
    assert validate_grader(LABEL, trains=False) == LABEL
    assert "multi" in refuse(LABEL).message


def test_the_single_grader_of_openais_schema_is_known_by_its_name() -> None:
    checked = validate_grader({**multi("part ^ 2"), "graders": PART})
    assert checked["graders"] == {"part": PART}


def test_a_refused_formula_names_the_place_and_what_there_is() -> None:
    assert refuse(multi("a + quality")).message == (
        "'method.reinforcement.grader.calculate_output' is no valid formula: "
        "unknown variable 'quality' at character 5; there are: a."
    )


def test_a_metric_whose_packages_are_missing_is_refused_with_what_to_install(monkeypatch) -> None:
    monkeypatch.setattr("agentrft.grading.text_similarity.EMBEDDING_PACKAGES", ("numpy", "no_such_package"))
    assert validate_grader(SIMILAR) == SIMILAR
    error = refuse({**SIMILAR, "evaluation_metric": "cosine"})
    assert error.param == "method.reinforcement.grader.evaluation_metric"
    assert "no_such_package must be installed on server and worker: pip install" in error.message


async def judges_of(spec: dict[str, Any], *known: JudgeEndpoint) -> list[str]:
    async def find(name: str) -> JudgeEndpoint | None:
        return next((judge for judge in known if judge.name == name), None)

    return sorted(await find_judges(spec, find, param="grader"))


JUDGE = JudgeEndpoint(name="judge", model="m", url="http://127.0.0.1:9", text_only=True)


async def test_every_judge_of_a_grader_is_found() -> None:
    other = JudgeEndpoint(name="other", model="m", url="http://127.0.0.1:9")
    assert await judges_of(CHECK) == []
    assert await judges_of(multi("s + l", s=SCORE, l={**LABEL, "model": "other"}, c=CHECK), JUDGE, other) == [
        "judge",
        "other",
    ]
    assert await judges_of({"type": "ruler", "model": "judge"}, JUDGE) == ["judge"]


async def test_a_judge_that_is_not_configured_is_refused_with_what_to_configure() -> None:
    with pytest.raises(UserError) as caught:
        await judges_of(multi("s", s={**SCORE, "model": "gpt-9"}), JUDGE)
    assert (caught.value.param, caught.value.code) == ("grader.graders.s.model", "model_not_found")
    assert 'AGENTRFT_JUDGES=\'{"gpt-9": {"base_url"' in caught.value.message


async def test_a_judge_that_reads_text_alone_is_shown_no_image() -> None:
    image = {"type": "input_image", "image_url": "{{item.picture}}"}
    with pytest.raises(UserError) as caught:
        await judges_of({**SCORE, "input": [*ASK, {"role": "user", "content": ["Look:", image]}]}, JUDGE)
    assert caught.value.param == "grader.input[1].content[1]"
