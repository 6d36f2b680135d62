from dataclasses import replace

import pytest

from agentrft.analysis.tricks import LONG_CHARS, TRICKS, Case, Corpus, find_reference, play, read_corpus
from agentrft.domain.episode import StopReason
from agentrft.testing import an_item
from tests.analysis.episodes import played

ITEM = an_item(question="Revenue of 2021?")
REAL = played(ITEM, "42", replies=["Revenue 42, costs -7.5", "See page 3."])
CASE = Case(item=ITEM, reference="42", attempts=(REAL, replace(REAL, trace_id="again")))
CORPUS = Corpus(references=("42", "17"), answers=("7",))
BY_NAME = {trick.name: trick for trick in TRICKS}


def answer(name: str, case: Case = CASE, corpus: Corpus = CORPUS) -> str | None:
    episode = play(BY_NAME[name], case, corpus)
    return episode.answer if episode else None


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("empty", ""),
        ("silence", ""),
        ("not_available", "N/A"),
        ("question", "Revenue of 2021?"),
        ("numbers", "42, -7.5, 3"),
        ("paste", "Revenue 42, costs -7.5\nSee page 3."),
        ("constant", "42"),
        ("all_references", "42, 17"),
        ("reference", "42"),
        ("reference_in_words", "I have checked the sources. The answer is 42."),
    ],
)
def test_a_trick_writes_what_its_name_says(name: str, text: str) -> None:
    assert answer(name) == text


def test_the_long_answer_is_long() -> None:
    assert len(answer("long") or "") == LONG_CHARS == 10_000


def test_a_trick_calls_tools_only_when_it_needs_their_replies() -> None:
    for trick in TRICKS:
        episode = play(trick, CASE, CORPUS)
        assert episode is not None
        assert episode.tool_calls == (2 if trick.calls else 0)
        assert episode.stop is StopReason.ANSWER
        assert episode.trace_id != REAL.trace_id


def test_an_attempt_without_an_answer_gets_one_after_its_last_call() -> None:
    cut = replace(REAL, turns=REAL.turns[:1], stop=StopReason.MAX_TURNS)
    episode = play(BY_NAME["reference"], replace(CASE, attempts=(cut,)), CORPUS)
    assert episode is not None
    assert (episode.answer, episode.tool_calls, len(episode.turns)) == ("42", 2, 2)


def test_without_attempts_the_numbers_are_those_of_the_question_and_nothing_is_pasted() -> None:
    fresh = Case(item=ITEM)
    assert answer("numbers", fresh, Corpus()) == "2021"
    assert [name for name in BY_NAME if answer(name, fresh, Corpus()) is None] == [
        "paste", "constant", "all_references", "reference", "reference_in_words",
    ]  # fmt: skip


def test_a_reference_is_found_by_its_usual_names_or_by_the_one_given() -> None:
    row = {"messages": [], "answer": "b", "reference_answer": "a", "gold_rows": [1, 2], "note": ""}
    assert find_reference(row) == "a"
    assert find_reference(row, "gold_rows") == "[1, 2]"
    assert find_reference(row, "note") is None
    assert find_reference({"messages": []}, "messages") is None


def test_the_commonest_reference_is_the_constant() -> None:
    cases = [Case(item=ITEM, reference=text, attempts=(REAL,)) for text in ("no", "yes", "yes")]
    assert read_corpus(cases) == Corpus(references=("yes", "no"), answers=("42",))
    assert read_corpus([Case(item=ITEM, attempts=(REAL,))]).constant == "42"
