"""Reading FinQA-format files: pages of annual reports, and questions about them."""

import gzip
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CORPUS = "corpus.jsonl"
TRAINING = "train.jsonl"
HELD_OUT = "dev.jsonl"


class BadData(Exception):
    """The folder does not hold what it should; the message says what is missing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One page of a report; `path` is `TICKER/YEAR/page_N`."""

    path: str
    pre_text: str
    table: Sequence[Sequence[str]]
    post_text: str

    @property
    def text(self) -> str:
        rows = "\n".join(" | ".join(row) for row in self.table)
        return "\n".join(part for part in (self.pre_text, rows, self.post_text) if part)


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """`value` is that of the gold program: a number (a percentage is a fraction), or "yes" or "no"."""

    text: str
    path: str  # the page that answers it
    value: float | str


def read_pages(folder: Path) -> list[Page]:
    """All pages of the corpus, by path. Raises `BadData`."""
    pages = [_page(row) for row in _rows(folder, CORPUS)]
    return sorted(pages, key=lambda page: page.path)


def read_questions(folder: Path, name: str) -> list[Question]:
    """The questions of one file whose annotator and program agree; the others are noise. Raises `BadData`."""
    return [
        Question(text=row["question"], path=row["path"], value=row["exe_ans"])
        for row in _rows(folder, name)
        if row.get("agree") is True
    ]


def _page(row: Mapping[str, Any]) -> Page:
    table = [[str(cell) for cell in cells] for cells in row["table"]]
    return Page(path=row["path"], pre_text=row["pre_text"], table=table, post_text=row["post_text"])


def _rows(folder: Path, name: str) -> Iterator[dict[str, Any]]:
    """The lines of `name` or `name.gz`."""
    plain, packed = folder / name, folder / f"{name}.gz"
    if plain.exists():
        text = plain.read_text()
    elif packed.exists():
        text = gzip.decompress(packed.read_bytes()).decode()
    else:
        raise BadData(f"{folder} holds neither {name} nor {name}.gz. Give a folder with FinQA-format files to --data.")
    for number, line in enumerate(text.splitlines(), 1):
        try:
            yield json.loads(line)
        except ValueError:
            raise BadData(f"Line {number} of {name} in {folder} is no JSON. Is the file complete?") from None
