from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer

from agentrft.grading.text_metrics import MAX_CHARS, MAX_METEOR_WORDS, similarity
from agentrft.grading.text_similarity import find_metric_problem
from agentrft.wire.graders import Metric

SAT, IS = "the cat sat on the mat", "the cat is on the mat"
METRICS = get_args(Metric)
EMBEDDED = pytest.mark.skipif(find_metric_problem("cosine") is not None, reason="the embedding model is not installed")
EVERY = [pytest.param(metric, marks=EMBEDDED) if metric == "cosine" else metric for metric in METRICS]
LEXICAL = [metric for metric in METRICS if metric not in ("cosine", "fuzzy_match")]


def test_fuzzy_match_is_what_openai_itself_returned() -> None:
    """The reward of a real `graders/run` (API reference, section 3.9)."""
    found = similarity("fuzzy_match", "fuzzy wuzzy was a bear", "fuzzy wuzzy had no hair")
    assert found == pytest.approx(0.7555555555555555, abs=1e-12)


@pytest.mark.parametrize(
    ("metric", "value"),
    [
        ("rouge_1", 5 / 6),  # the, cat, on, the, mat of 6
        ("rouge_2", 3 / 5),  # the cat, on the, the mat of 5
        ("rouge_3", 1 / 4),  # on the mat of 4
        ("rouge_4", 0.0),
        ("rouge_5", 0.0),
        ("rouge_l", 5 / 6),  # the cat . on the mat
        ("gleu", 9 / 18),  # 5 + 3 + 1 + 0 of 6 + 5 + 4 + 3 n-grams
        ("bleu", (5 / 6 * 3 / 5 * 1 / 4 * 1 / 6) ** 0.25),  # no 4-gram: smoothed to 1 / (2 * 3)
        ("meteor", 5 / 6 * (1 - 0.5 * (2 / 5) ** 3)),  # 5 matches of 6 in 2 chunks
    ],
)
def test_a_metric_has_the_value_that_one_works_out_by_hand(metric, value) -> None:
    assert similarity(metric, SAT, IS) == pytest.approx(value, abs=1e-6)


def test_meteor_matches_stems() -> None:
    assert similarity("meteor", "running", "runs") == pytest.approx(0.5)  # one match, all of it one chunk
    assert similarity("meteor", "car", "automobile") == 0.0  # synonyms would need a corpus


@EMBEDDED
@pytest.mark.parametrize(
    ("text", "reference", "value"),
    [
        ("a man is eating food", "a man is eating a piece of bread", 0.7378525733947754),
        ("revenue grew by 5 %", SAT, 0.0),  # -0.0048, and 0 is the least
        ("94", "94.0", 0.7533997297286987),
        ("Naïve café — 東京!", "naive cafe tokyo", 0.7631466388702393),
        ("word " * 1000, "other words " * 1000, 0.4974869191646576),  # more than the model reads
    ],
)
def test_cosine_is_that_of_the_model_as_transformers_runs_it(text, reference, value) -> None:
    """Values of transformers 5.24 and torch 2.13, mean of the last layer, 256 tokens."""
    assert similarity("cosine", text, reference) == pytest.approx(value, abs=2e-6)


@pytest.mark.parametrize("metric", EVERY)
def test_the_same_is_one_and_nothing_is_zero(metric) -> None:
    same = similarity(metric, SAT, SAT)
    assert same == pytest.approx(1.0, abs=0.003)  # meteor keeps a small penalty for its one chunk
    assert similarity(metric, "", SAT) == similarity(metric, SAT, " \n") == 0.0
    assert similarity(metric, "", " ") == 1.0


@given(st.text("ab c.", max_size=12), st.text("ab c.", max_size=12), st.sampled_from(LEXICAL))
def test_every_metric_lies_between_zero_and_one(text: str, reference: str, metric: str) -> None:
    assert 0.0 <= similarity(metric, text, reference) <= 1.0


@given(st.text("abc ", max_size=20), st.text("abc ", max_size=20))
def test_rouge_l_is_that_of_rouge_score(text: str, reference: str) -> None:
    expected = RougeScorer(["rougeL"]).score(reference, text)["rougeL"].fmeasure
    if text.strip() and reference.strip():
        assert similarity("rouge_l", text, reference) == pytest.approx(expected)


def test_words_of_every_script_count() -> None:
    assert similarity("rouge_1", "Привет мир", "привет, мир!") == 1.0


def test_a_very_long_text_is_cut() -> None:
    assert similarity("rouge_l", "x " * MAX_CHARS + "y", "x " * MAX_CHARS) == 1.0


def test_meteor_reads_so_many_words_that_it_is_done_in_a_moment() -> None:
    words = " ".join(f"w{number}" for number in range(MAX_METEOR_WORDS))
    same = similarity("meteor", words, words)
    assert similarity("meteor", f"{words} and more", f"{words} but not the same") == same
