import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentrft.toolkit.loading import TargetError, load_functions

WORDS = """
import agentrft

@agentrft.tool
def shout(word: str) -> str:
    return word.upper()
"""
TOOLS = """
import agentrft
from served_words import shout

@agentrft.tool
def whisper(word: str) -> str:
    return word.lower()

@agentrft.grader
def exact(sample, item):
    return 1.0

app = [whisper, exact]
nothing = []
strange = [whisper, len]
twice = [whisper, agentrft.tool(name="whisper")(lambda: "")]
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "served_words.py").write_text(WORDS)
    (tmp_path / "served_tools.py").write_text(TOOLS)
    (tmp_path / "served_broken.py").write_text("import no_such_dependency\n")
    yield tmp_path
    for name in [name for name in sys.modules if name.lstrip("_").startswith("served_")]:
        del sys.modules[name]


@pytest.mark.parametrize("source", ["served_tools", "served_tools.py"])
def test_a_module_or_file_gives_all_its_decorated_functions_or_those_that_are_named(source: str) -> None:
    functions = load_functions(source)
    assert (sorted(functions.tools), list(functions.graders)) == (["shout", "whisper"], ["exact"])
    assert list(load_functions(f"{source}:app").tools) == ["whisper"]
    assert list(load_functions(f"{source}:shout").tools) == ["shout"]


def test_a_file_elsewhere_finds_its_neighbours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "inner").mkdir()
    monkeypatch.chdir(tmp_path / "inner")
    assert "shout" in load_functions("../served_tools.py").tools


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("served_nowhere", "no module 'served_nowhere'"),
        ("served_words.inner", "no module 'served_words.inner'"),
        ("served_nowhere.py", "no file served_nowhere.py"),
        ("served_tools:other", "served_tools has no 'other'"),
        ("served_tools:nothing", "holds no function with @agentrft.tool"),
        ("served_tools:strange", "<built-in function len>, which has neither"),
        ("served_tools:twice", "two tools are named 'whisper'"),
    ],
)
def test_a_target_with_nothing_to_serve_says_why(target: str, words: str) -> None:
    with pytest.raises(TargetError) as refused:
        load_functions(target)
    assert words in str(refused.value)


def test_what_a_users_module_lacks_is_told_by_its_own_traceback() -> None:
    with pytest.raises(ModuleNotFoundError, match="no_such_dependency"):
        load_functions("served_broken")
