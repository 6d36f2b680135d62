"""How alike two texts are, by the metrics that the field uses, each from the library that defines it.

Only `text_similarity` graders import this module, and when they open: nltk alone takes a third of a second.
Where OpenAI does not publish a metric's variant (API reference, appendix D), the choice is said in docs/graders.md.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from nltk.translate.gleu_score import sentence_gleu
from nltk.translate.meteor_score import single_meteor_score
from rapidfuzz import fuzz, utils
from rapidfuzz.distance import LCSseq
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu import sentence_bleu

MAX_CHARS = 20_000  # of each text; some metrics take time in the product of the lengths
MAX_METEOR_WORDS = 1_000  # of each text: nltk compares every word with every other in Python, holding the interpreter
_WORD_OR_SIGN = re.compile(r"\w+|[^\w\s]")
_WORD = re.compile(r"[^\W_]+")

Metric = Callable[[str, str], float]


def similarity(metric: str, text: str, reference: str) -> float:
    """From 0 (nothing in common) to 1 (the same). Blocks: run it in a thread.

    Two texts without content are the same; one without content has nothing in common with any other.
    """
    text, reference = text[:MAX_CHARS], reference[:MAX_CHARS]
    if not text.strip() or not reference.strip():
        return float(text.strip() == reference.strip())
    return min(1.0, max(0.0, _METRICS[metric](text, reference)))


def _fuzzy_match(text: str, reference: str) -> float:
    return fuzz.WRatio(text, reference, processor=utils.default_process) / 100


def _bleu(text: str, reference: str) -> float:
    """sacrebleu's sentence BLEU: 13a tokens, exponential smoothing, effective order."""
    return float(sentence_bleu(text, [reference]).score) / 100


def _gleu(text: str, reference: str) -> float:
    """Google's sentence BLEU: 1- to 4-grams."""
    return float(sentence_gleu([_words_and_signs(reference)], _words_and_signs(text)))


def _meteor(text: str, reference: str) -> float:
    """METEOR's exact and stem stages; the synonym stage would need WordNet, and nothing is downloaded here."""
    words, wanted = (_words_and_signs(each)[:MAX_METEOR_WORDS] for each in (text, reference))
    return float(single_meteor_score(wanted, words, wordnet=_NoSynonyms()))


def _cosine(text: str, reference: str) -> float:
    from agentrft.grading.embedding import shared_embedder  # needs packages that the other metrics do without

    embedder = shared_embedder()
    return float(embedder.embed(text) @ embedder.embed(reference))


def _rouge(kind: str) -> Metric:
    scorer = RougeScorer([kind], tokenizer=_Words())
    return lambda text, reference: float(scorer.score(reference, text)[kind].fmeasure)


def _rouge_l(text: str, reference: str) -> float:
    """The longest common subsequence of words, found by rapidfuzz: rouge-score's own takes seconds for long texts."""
    words, wanted = _Words().tokenize(text), _Words().tokenize(reference)
    return 2 * LCSseq.similarity(words, wanted) / max(1, len(words) + len(wanted))


def _words_and_signs(text: str) -> list[str]:
    return _WORD_OR_SIGN.findall(text.lower())


class _Words:
    """rouge-score's own words, but of every script: its tokenizer knows a to z alone."""

    def tokenize(self, text: str) -> list[str]:
        return _WORD.findall(text.lower())


class _NoSynonyms:
    """Stands where nltk looks words up in WordNet."""

    def synsets(self, word: str) -> list[Any]:
        return []


_METRICS: Mapping[str, Metric] = {
    "fuzzy_match": _fuzzy_match,
    "bleu": _bleu,
    "gleu": _gleu,
    "meteor": _meteor,
    "cosine": _cosine,
    **{f"rouge_{order}": _rouge(f"rouge{order}") for order in range(1, 6)},
    "rouge_l": _rouge_l,
}
