import pytest

from agentrft.demo.corpus import build_corpus
from agentrft.demo.toolbox import NOT_FOUND, TOOL_NAMES, TOOL_SCHEMAS, ReportTools


@pytest.fixture(scope="module")
def tools() -> ReportTools:
    return ReportTools(build_corpus(0))


def test_search_gives_at_most_three_paths(tools: ReportTools) -> None:
    assert len(tools.search("revenue").splitlines()) == 3
    assert tools.search("zzz") == "no results"


def test_list_of_the_root_shows_a_few_folders_and_their_number(tools: ReportTools) -> None:
    shown = tools.list("/")
    assert shown.endswith("... (180 folders)")
    assert tools.list() == shown
    folder = shown.split()[0]
    assert tools.list(folder) == "2014.txt 2015.txt 2016.txt 2017.txt"


def test_cat_gives_the_text_with_or_without_a_leading_slash(tools: ReportTools) -> None:
    report = next(iter(build_corpus(0).reports.values()))
    assert tools.cat(report.path) == tools.cat(f"/{report.path}") == report.text


def test_unknown_paths_are_not_found(tools: ReportTools) -> None:
    assert tools.cat("nowhere/2014.txt") == NOT_FOUND
    assert tools.list("nowhere") == NOT_FOUND


def test_every_schema_names_a_tool_and_its_argument(tools: ReportTools) -> None:
    for schema in TOOL_SCHEMAS:
        assert callable(getattr(tools, schema["function"]["name"]))
    assert TOOL_NAMES == ("search", "list", "cat")
