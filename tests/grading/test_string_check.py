import pytest

from agentrft.grading.scoring import Flag, Subject
from agentrft.grading.specs import read_spec
from agentrft.grading.string_check import StringCheckScorer

TEXT = "The Answer is 94"


async def score(text: str, operation: str, reference: str):
    spec = read_spec(
        {"type": "string_check", "input": "{{sample.output_text}}", "reference": reference, "operation": operation}
    )
    subject = Subject(sample={"output_text": text}, item={"answer": "94"}, trace_id="trace_1")
    return await StringCheckScorer(spec).score(subject)


@pytest.mark.parametrize(
    ("operation", "text", "reference", "reward"),
    [
        ("eq", "94", "{{item.answer}}", 1.0),
        ("eq", "94 ", "{{item.answer}}", 0.0),
        ("eq", "ABC", "abc", 0.0),
        ("ne", "94", "{{item.answer}}", 0.0),
        ("neq", "95", "{{item.answer}}", 1.0),
        ("like", TEXT, "Answer is {{item.answer}}", 1.0),
        ("like", TEXT, "answer", 0.0),
        ("like", "94", TEXT, 0.0),
        ("like", TEXT, "%94", 0.0),
        ("ilike", TEXT, "ANSWER", 1.0),
        ("ilike", TEXT, "95", 0.0),
    ],
)
async def test_texts_are_compared(operation, text, reference, reward) -> None:
    result = await score(text, operation, reference)
    assert (result.reward, result.errors) == (reward, {})


@pytest.mark.parametrize("operation", ["eq", "ne"])
async def test_a_missing_variable_is_a_flagged_zero(operation) -> None:
    result = await score("94", operation, "{{item.nothing}}")
    assert result.reward == 0.0
    assert result.errors == {Flag.INVALID_VARIABLE: "item.nothing: there is no 'nothing' here"}
