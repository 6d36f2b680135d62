from dataclasses import replace

import pytest

from agentrft.testing import MemoryJournal, some_rules
from agentrft.worker.world import warn_of_isolation

PYTHON = {"type": "python", "name": "code", "source": "def grade(sample, item):\n    return 1.0\n"}
EXACT = {"type": "string_check", "name": "exact"}


@pytest.mark.parametrize(
    ("grader", "monitors", "warnings"),
    [(EXACT, (), 0), (PYTHON, (), 1), (EXACT, (EXACT, PYTHON), 1), (PYTHON, (PYTHON,), 1)],
)
async def test_the_owner_is_warned_once_of_python_graders_that_nothing_confines(
    grader: dict[str, str], monitors: tuple[dict[str, str], ...], warnings: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.executable", "/nonexistent/python")
    journal = MemoryJournal()
    await warn_of_isolation(journal, replace(some_rules(), grader=grader, monitor_graders=monitors))
    assert len(journal.warnings) == warnings
