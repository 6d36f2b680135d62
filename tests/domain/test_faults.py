"""One table decides, and docs/faults.md shows it."""

import re
from pathlib import Path

import pytest

from agentrft.domain.episode import StopReason
from agentrft.domain.faults import TABLE, EpisodeFate, Fault, FaultKind, FaultOwner, JobFate, Statistics, Whose

PAGE = (Path(__file__).parents[2] / "docs" / "faults.md").read_text()


def test_the_page_and_the_table_say_the_same() -> None:
    rows = [line.strip("| ").split(" | ") for line in PAGE.splitlines() if re.match(r"\| `[a-z_.0-9]+` \| \w", line)]
    shown = [row for row in rows if len(row) == 6]
    assert shown == [
        [f"`{name}`", row.whose, row.episode, str(row.new_attempts), row.statistics, row.job]
        for name, row in TABLE.items()
    ]


def test_every_end_but_an_answer_has_its_row() -> None:
    own = set(StopReason) - {StopReason.ANSWER, StopReason.FAULT}
    assert own <= set(TABLE)
    assert {stop for stop in StopReason if stop.truncated} == {StopReason.MAX_TOKENS, StopReason.CONTEXT}


@pytest.mark.parametrize("name", [name for name in TABLE if "." in name])
def test_a_fault_finds_its_row(name: str) -> None:
    owner, _, kind = name.partition(".")
    fault = Fault(owner=FaultOwner(owner), kind=FaultKind(kind), where="x", message="y")
    assert fault.treatment is TABLE[name]


def test_a_failure_without_a_row_cannot_be_recorded() -> None:
    with pytest.raises(ValueError, match=r"no row 'platform\.http_5xx'"):
        Fault(owner=FaultOwner.PLATFORM, kind=FaultKind.HTTP_5XX, where="x", message="y")


def test_only_the_policy_s_failures_are_learned_from_and_only_they_are_graded() -> None:
    for row in TABLE.values():
        own = row.whose is Whose.POLICY
        assert own == (row.statistics is not Statistics.OUT) == (row.episode is EpisodeFate.KEPT)
        assert (row.new_attempts > 0) == (row.episode is EpisodeFate.REPLACED)
        assert bool(row.code and row.advice) == (row.job is not JobFate.GOES_ON)
