import re

import pytest

from agentrft.demo.corpus import (
    FIRST_WORDS,
    HELD_OUT_COMPANIES,
    PROSE,
    SECOND_WORDS,
    TRAINING_COMPANIES,
    YEARS,
    Line,
    Split,
    build_corpus,
)


def test_the_same_seed_gives_the_same_corpus_and_another_seed_another() -> None:
    assert build_corpus(3) == build_corpus(3)
    assert build_corpus(3) != build_corpus(4)


@pytest.mark.parametrize("seed", range(5))
def test_splits_have_their_sizes_and_share_no_first_word(seed: int) -> None:
    companies = build_corpus(seed).companies
    assert len(set(companies[Split.TRAINING])) == TRAINING_COMPANIES
    assert len(set(companies[Split.HELD_OUT])) == HELD_OUT_COMPANIES
    first_words = {split: {name.split()[0] for name in companies[split]} for split in Split}
    assert not first_words[Split.TRAINING] & first_words[Split.HELD_OUT]


def test_every_company_has_a_report_for_each_year_under_a_plain_path() -> None:
    corpus = build_corpus(0)
    assert len(corpus.reports) == (TRAINING_COMPANIES + HELD_OUT_COMPANIES) * len(YEARS)
    for company in corpus.companies[Split.HELD_OUT]:
        assert [report.year for report in corpus.of(company)] == list(YEARS)
    assert all(re.fullmatch(r"[a-z]+_[a-z]+/\d{4}\.txt", path) for path in corpus.reports)


def test_a_report_is_a_title_four_lines_of_figures_and_a_sentence() -> None:
    for report in build_corpus(1).reports.values():
        title, *lines, sentence = report.text.splitlines()
        assert title == f"{report.company} {report.year}"
        assert {line.split(":")[0] for line in lines} == set(Line)
        assert sentence in PROSE


@pytest.mark.parametrize("seed", range(5))
def test_namesakes_share_no_number_so_that_a_wrong_report_cannot_give_a_right_answer(seed: int) -> None:
    families: dict[str, list[int]] = {}
    for report in build_corpus(seed).reports.values():
        families.setdefault(report.company.split()[0], []).extend(report.numbers)
    for numbers in families.values():
        assert len(numbers) == len(set(numbers))


def test_prose_mentions_no_word_of_a_name_so_that_search_is_not_misled() -> None:
    names = {word.lower() for word in (*FIRST_WORDS, *SECOND_WORDS)}
    assert not names & set(re.findall(r"[a-z]+", " ".join(PROSE).lower()))
    assert len(names) == len(FIRST_WORDS) + len(SECOND_WORDS)
