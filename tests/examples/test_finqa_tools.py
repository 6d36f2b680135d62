from pathlib import Path

import numpy as np
import pytest
from finqa_agent.pages import read_pages
from finqa_agent.passages import Vectors, cut
from finqa_agent.tools import RESULTS, PageTools

WORDS = ("fuel", "pilots", "revenue", "wages")


def embed(text: str) -> Vectors:
    """Counts of a few words, as a unit vector."""
    counts = np.array([text.count(word) for word in WORDS], np.float32)
    return counts / max(1.0, float(np.linalg.norm(counts)))


@pytest.fixture
def tools(data: Path) -> PageTools:
    pages = read_pages(data)
    passages = cut(pages)
    return PageTools(pages, passages, np.stack([embed(passage.text) for passage in passages]), embed)


def test_search_gives_each_page_once_the_best_first(tools: PageTools) -> None:
    found = [line.split(":")[0] for line in tools.search("revenue").splitlines()]
    assert found[0] == "ETR/2015/page_3"
    assert len(found) == len(set(found)) <= RESULTS


def test_list_shows_one_level(tools: PageTools) -> None:
    assert tools.list() == tools.list("/") == "AAL ETR"
    assert tools.list("AAL") == "2014 2015"
    assert tools.list("/AAL/2015/") == "page_2"
    assert tools.list("AA") == "not found"


def test_cat_gives_a_whole_page(tools: PageTools) -> None:
    assert tools.cat("/AAL/2015/page_2") == "pilots were hired\nwages rose"
    assert tools.cat("AAL") == "not found"
