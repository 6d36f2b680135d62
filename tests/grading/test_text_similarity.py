import sys
from subprocess import run

from agentrft.grading.scoring import Flag, Score, Subject
from agentrft.grading.specs import read_spec
from agentrft.grading.text_similarity import TextSimilarityScorer


def scorer(**fields: object) -> TextSimilarityScorer:
    spec = {"type": "text_similarity", "input": "{{sample.output_text}}", "reference": "{{item.answer}}", **fields}
    return TextSimilarityScorer(read_spec(spec))  # type: ignore[arg-type]


SUBJECT = Subject(sample={"output_text": "the cat"}, item={"answer": "the dog"}, trace_id="trace_0")


async def test_the_rendered_texts_are_compared_and_the_threshold_changes_nothing() -> None:
    assert await scorer(evaluation_metric="rouge_1", pass_threshold=0.9).score(SUBJECT) == Score(reward=0.5)


async def test_a_missing_variable_is_a_flagged_zero() -> None:
    score = await scorer(evaluation_metric="bleu", reference="{{item.target}}").score(SUBJECT)
    assert (score.reward, set(score.errors)) == (0.0, {Flag.INVALID_VARIABLE})


def test_grading_brings_neither_torch_nor_the_metrics_libraries_along() -> None:
    code = "import sys, agentrft.grading; print(sorted({'torch', 'nltk', 'sacrebleu', 'numpy'} & sys.modules.keys()))"
    assert run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
