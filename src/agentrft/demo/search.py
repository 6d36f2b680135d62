"""Keyword search over the reports: rare words count most (BM25 without its length term, as all reports are short)."""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Mapping

SATURATION = 1.2  # k1 of BM25: how soon further occurrences of a word stop counting


class KeywordIndex:
    """Scores documents by the words that they share with a query."""

    def __init__(self, documents: Mapping[str, str]) -> None:
        self._postings: dict[str, dict[str, float]] = defaultdict(dict)
        for path, text in documents.items():
            for word, count in Counter(_words(text)).items():
                self._postings[word][path] = count * (SATURATION + 1) / (count + SATURATION)
        self._size = len(documents)

    def search(self, query: str, limit: int = 3) -> list[str]:
        """The best `limit` paths, best first; fewer when fewer share a word with the query. Ties go by path."""
        scores: defaultdict[str, float] = defaultdict(float)
        for word in set(_words(query)):
            for path, weight in self._postings.get(word, {}).items():
                scores[path] += self._rarity(word) * weight
        return sorted(scores, key=lambda path: (-round(scores[path], 9), path))[:limit]

    def _rarity(self, word: str) -> float:
        """Inverse document frequency, never negative."""
        holding = len(self._postings[word])
        return math.log(1 + (self._size - holding + 0.5) / (holding + 0.5))


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z0-9]+", text.lower())
