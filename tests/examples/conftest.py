import gzip
import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "examples" / "finqa"))

PAGES = [
    {"path": "AAL/2014/page_1", "pre_text": "fuel cost rose", "table": [["", "2014"], ["fuel", "10"]], "post_text": ""},
    {"path": "AAL/2015/page_2", "pre_text": "pilots were hired", "table": [], "post_text": "wages rose"},
    {"path": "ETR/2015/page_3", "pre_text": "net revenue " * 400, "table": [], "post_text": ""},
]
QUESTIONS = [
    {"id": "1", "path": "AAL/2014/page_1", "question": "fuel in 2014?", "exe_ans": 10.0, "agree": True},
    {"id": "2", "path": "AAL/2015/page_2", "question": "did wages rise?", "exe_ans": "yes", "agree": True},
    {"id": "3", "path": "AAL/2015/page_2", "question": "noise?", "exe_ans": 1.0, "agree": False},
    {"id": "4", "path": "AAL/2015/page_2", "question": "unsure?", "exe_ans": 1.0, "agree": None},
]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder in FinQA's format: one file packed, the others plain."""
    folder = tmp_path / "finqa"
    folder.mkdir()
    (folder / "corpus.jsonl.gz").write_bytes(gzip.compress(lines(PAGES)))
    (folder / "train.jsonl").write_bytes(lines(QUESTIONS))
    (folder / "dev.jsonl").write_bytes(lines(QUESTIONS))
    return folder


def lines(rows: list[dict[str, object]]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()
