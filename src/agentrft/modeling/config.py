"""The shape of a model, read from a Hugging Face config.json; families whose forward pass network.py knows."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agentrft.domain.errors import JobFailed

FAMILIES = ("llama", "qwen2", "qwen3")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelConfig:
    """Decoder-only transformer with rotary positions, grouped-query attention and a gated MLP."""

    family: str
    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    intermediate: int
    vocabulary: int
    norm_eps: float
    rope_theta: float
    max_positions: int
    tied_head: bool
    qkv_bias: bool  # qwen2
    qk_norm: bool  # qwen3

    @property
    def kv_bytes_per_token(self) -> int:
        """Keys and values of one token in all layers, bf16."""
        return self.layers * 2 * self.kv_heads * self.head_dim * 2

    @staticmethod
    def from_folder(folder: Path) -> "ModelConfig":
        """Read `folder`/config.json.

        Raises:
            JobFailed: the family is not supported, or it uses a feature that the forward pass lacks.
        """
        return ModelConfig.from_mapping(json.loads((folder / "config.json").read_text()))

    @staticmethod
    def from_mapping(raw: Mapping[str, Any]) -> "ModelConfig":
        """As `from_folder`, from the parsed file."""
        family = str(raw.get("model_type"))
        if family not in FAMILIES:
            known = ", ".join(FAMILIES)
            raise JobFailed(
                f"Models of the family {family!r} are not supported by the embedded engine (supported: {known}).",
                code="unsupported_model_family",
            )
        rope = raw.get("rope_parameters") or raw.get("rope_scaling") or {}
        _refuse_unknown_rope(rope, family)
        _refuse_unknown_features(raw, family)
        heads = int(raw["num_attention_heads"])
        return ModelConfig(
            family=family,
            layers=int(raw["num_hidden_layers"]),
            hidden=int(raw["hidden_size"]),
            heads=heads,
            kv_heads=int(raw.get("num_key_value_heads") or heads),
            head_dim=int(raw.get("head_dim") or raw["hidden_size"] // heads),
            intermediate=int(raw["intermediate_size"]),
            vocabulary=int(raw["vocab_size"]),
            norm_eps=float(raw["rms_norm_eps"]),
            rope_theta=float(rope.get("rope_theta") or raw.get("rope_theta") or 10_000.0),
            max_positions=int(raw["max_position_embeddings"]),
            tied_head=bool(raw.get("tie_word_embeddings", False)),
            qkv_bias=family == "qwen2",
            qk_norm=family == "qwen3",
        )


def _refuse_unknown_rope(rope: Mapping[str, Any], family: str) -> None:
    kind = rope.get("rope_type") or rope.get("type") or "default"
    if kind != "default":
        raise JobFailed(
            f"This {family} model uses {kind!r} rotary scaling, which the embedded engine does not have.",
            code="unsupported_model_family",
        )


_SUPPORTED = {"attention_bias": False, "mlp_bias": False, "use_sliding_window": False, "hidden_act": "silu"}
"""What a model's config.json must say where it says anything; the forward pass has no more than that."""


def _refuse_unknown_features(raw: Mapping[str, Any], family: str) -> None:
    for name, supported in _SUPPORTED.items():
        if raw.get(name, supported) not in (supported, None):
            raise JobFailed(
                f"This {family} model has {name} = {raw[name]!r}, which the embedded engine does not have.",
                code="unsupported_model_family",
            )
