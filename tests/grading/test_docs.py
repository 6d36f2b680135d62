"""The examples of docs/graders.md are graders that a job takes."""

import json
import re
from pathlib import Path
from typing import Any, get_args

import pytest

from agentrft.grading import make_ranker, run_grader, validate_grader
from agentrft.store.settings import JudgeSettings
from agentrft.wire.graders import Grader, Metric
from tests.grading.judge_server import judging, verdict
from tests.tools.scripted_endpoint import Answer, ScriptedEndpoint

PAGE = (Path(__file__).parents[2] / "docs" / "graders.md").read_text()
EXAMPLES: list[dict[str, Any]] = [json.loads(block) for block in re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)]
ITEM = {"answer": "94", "number": 94.0, "question": "How much?"}


def test_there_is_an_example_of_every_type() -> None:
    types = {get_args(kind.model_fields["type"].annotation)[0] for kind in get_args(Grader)}
    assert {example["type"] for example in EXAMPLES} == types
    assert len(EXAMPLES) == len(types)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example["type"])
async def test_an_example_validates_and_grades(example: dict[str, Any]) -> None:
    assert validate_grader(example, trains=example["type"] != "label_model")["name"] == example["name"]
    result = "polite" if example["type"] == "label_model" else 1.0
    async with judging(lambda body: verdict(result)) as judge, ScriptedEndpoint(Answer(body={"score": 1.0})) as mine:
        judges = {"gpt-4.1-mini": judge.endpoint()}
        if example["type"] == "ruler":
            assert make_ranker(example, judges=judges).name == "best"
            return
        url = {"url": mine.url} if example["type"] == "endpoint" else {}
        response = await run_grader({**example, **url}, ITEM, "94", judges=judges)
    assert response["reward"] == pytest.approx(2 / 3 if example["type"] == "multi" else 1.0)
    assert not any(value for value in response["metadata"]["errors"].values())


def test_every_metric_and_every_setting_of_a_judge_is_explained() -> None:
    for name in (*get_args(Metric), *JudgeSettings.model_fields):
        assert f"`{name}`" in PAGE or re.fullmatch("rouge_[2-4]", name)
