from pathlib import Path

import pytest
from finqa_agent.pages import BadData, read_pages, read_questions
from finqa_agent.passages import OVERLAP, WORDS, cut, windows
from finqa_agent.rows import draw


def test_pages_are_read_packed_or_plain(data: Path) -> None:
    pages = read_pages(data)
    assert [page.path for page in pages] == ["AAL/2014/page_1", "AAL/2015/page_2", "ETR/2015/page_3"]
    assert pages[0].text == "fuel cost rose\n | 2014\nfuel | 10"


def test_only_questions_whose_annotator_and_program_agree_are_used(data: Path) -> None:
    assert [question.value for question in read_questions(data, "train.jsonl")] == [10.0, "yes"]


def test_a_folder_without_the_files_is_told(tmp_path: Path) -> None:
    with pytest.raises(BadData, match=r"neither corpus\.jsonl nor corpus\.jsonl\.gz.*--data"):
        read_pages(tmp_path)


def test_a_broken_line_is_named(data: Path) -> None:
    with (data / "train.jsonl").open("a") as file:
        file.write('{"id": ')
    with pytest.raises(BadData, match=r"Line 5 of train\.jsonl"):
        read_questions(data, "train.jsonl")


def test_passages_cover_a_page_with_overlap_and_name_it(data: Path) -> None:
    passages = [passage for passage in cut(read_pages(data)) if passage.path == "ETR/2015/page_3"]
    assert len(passages) > 1
    assert all(passage.text.startswith("ETR 2015 page_3 net revenue") for passage in passages)
    words = [str(number) for number in range(500)]
    parts = [part.split() for part in windows(" ".join(words))]
    assert {word for part in parts for word in part} == set(words)
    assert max(len(part) for part in parts) == WORDS
    assert parts[0][-OVERLAP:] == parts[1][:OVERLAP]


def test_an_empty_page_is_one_passage() -> None:
    assert windows("") == [""]


def test_rows_show_the_question_alone_and_are_drawn_by_seed(data: Path) -> None:
    questions = read_questions(data, "train.jsonl")
    rows = draw(questions, 5, seed=0)
    assert rows == draw(questions, 5, seed=0)
    assert {row["messages"][1]["content"] for row in rows} == {"fuel in 2014?", "did wages rise?"}
    assert all(row["page"] not in str(row["messages"]) for row in rows)
