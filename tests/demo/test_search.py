import pytest

from agentrft.demo.corpus import build_corpus
from agentrft.demo.search import KeywordIndex


@pytest.mark.parametrize("seed", range(3))
def test_company_and_year_find_the_report_first(seed: int) -> None:
    corpus = build_corpus(seed)
    index = KeywordIndex({path: report.text for path, report in corpus.reports.items()})
    for path, report in corpus.reports.items():
        assert index.search(f"{report.company} {report.year}")[0] == path


def test_a_rare_word_outweighs_a_common_one() -> None:
    index = KeywordIndex({"a": "debt owl", "b": "debt fox", "c": "debt hen hen"})
    assert index.search("debt owl")[0] == "a"


def test_at_most_limit_paths_come_back_and_ties_go_by_path() -> None:
    index = KeywordIndex(dict.fromkeys("dbca", "same words"))
    assert index.search("words", limit=3) == ["a", "b", "c"]


def test_words_that_stand_nowhere_find_nothing() -> None:
    assert KeywordIndex({"a": "one"}).search("two") == []
