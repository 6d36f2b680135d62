"""Cutting pages into passages that fit the embedding model, which reads no more than 256 tokens."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from finqa_agent.pages import Page

WORDS = 150  # about 200 tokens of this text, which is full of numbers
OVERLAP = 30

Vectors = NDArray[np.float32]  # one row for each text


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """A part of a page. `text` begins with the page's path, so that company and year count in every passage."""

    path: str
    text: str


def cut(pages: Sequence[Page]) -> list[Passage]:
    """All passages of all pages, in order."""
    return [
        Passage(path=page.path, text=f"{page.path.replace('/', ' ')} {window}")
        for page in pages
        for window in windows(page.text)
    ]


def windows(text: str) -> list[str]:
    """Overlapping runs of words that cover the text."""
    words = text.split()
    starts = range(0, max(1, len(words) - OVERLAP), WORDS - OVERLAP)
    return [" ".join(words[start : start + WORDS]) for start in starts]
