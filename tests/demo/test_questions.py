import json
from pathlib import Path

import pytest

from agentrft.datasets import load_items
from agentrft.demo.corpus import Split, build_corpus
from agentrft.demo.questions import draw_questions


@pytest.mark.parametrize("seed", range(3))
def test_training_and_held_out_questions_share_no_company(seed: int) -> None:
    corpus = build_corpus(seed)
    training, held_out = (
        {question.report.company for question in draw_questions(corpus, split, count=100, seed=seed)}
        for split in (Split.TRAINING, Split.HELD_OUT)
    )
    assert not training & held_out


@pytest.mark.parametrize("seed", range(3))
def test_only_the_right_report_of_all_namesakes_holds_the_answer(seed: int) -> None:
    corpus = build_corpus(seed)
    for question in draw_questions(corpus, Split.HELD_OUT, count=100, seed=seed):
        first_word = question.report.company.split()[0]
        holding = [
            report.path
            for report in corpus.reports.values()
            if report.company.startswith(f"{first_word} ") and question.answer in report.numbers
        ]
        assert holding == [question.report.path]


def test_a_question_names_company_and_year_but_neither_path_nor_answer() -> None:
    for question in draw_questions(build_corpus(0), Split.TRAINING, count=200, seed=0):
        assert question.report.company in question.text
        assert str(question.report.year) in question.text
        assert question.report.folder not in question.text
        assert str(question.answer) not in question.text.replace(str(question.report.year), "")


def test_a_tenth_of_the_questions_are_differences_and_none_comes_twice() -> None:
    questions = draw_questions(build_corpus(0), Split.HELD_OUT, count=100, seed=0)
    assert sum(question.line is None for question in questions) == 10
    assert len({question.text for question in questions}) == 100


def test_questions_are_drawn_by_seed() -> None:
    corpus = build_corpus(0)
    drawn = [draw_questions(corpus, Split.TRAINING, count=20, seed=seed) for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]


def test_the_platform_reads_the_rows(tmp_path: Path) -> None:
    questions = draw_questions(build_corpus(0), Split.TRAINING, count=20, seed=0)
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(question.row()) + "\n" for question in questions))
    items = load_items(file)
    assert [item.messages[-1].content for item in items] == [question.text for question in questions]


def test_a_row_shows_the_agent_the_question_alone() -> None:
    question = draw_questions(build_corpus(0), Split.TRAINING, count=1, seed=0)[0]
    row = question.row()
    assert [message["role"] for message in row["messages"]] == ["system", "user"]
    assert row["messages"][1]["content"] == question.text
    assert row["reference_answer"] == str(question.answer)
    assert {tool["function"]["name"] for tool in row["tools"]} == {"search", "list", "cat"}
