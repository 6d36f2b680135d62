"""The weights that a sampler draws from: base and adapter merged, plus what the forward pass needs beside them."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from agentrft.modeling.adapters import Adapters, merge
from agentrft.modeling.config import ModelConfig
from agentrft.modeling.network import Layer, Rotary
from agentrft.modeling.operations import rms_norm
from agentrft.modeling.weights import FUSED, BaseWeights, LayerWeights
from agentrft.sampling.linear import inference_linear


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplerModel:
    """Immutable, so that shards can switch between two of them between steps."""

    config: ModelConfig
    version: int
    layers: tuple[Layer, ...]
    embedding_VH: Tensor
    head: Callable[[Tensor], Tensor]
    norm_H: Tensor
    rotary: Rotary

    @property
    def dtype(self) -> torch.dtype:
        return self.embedding_VH.dtype

    def logits(self, x_BH: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        """Final norm and output layer: [B, V]."""
        return self.head(rms_norm(x_BH, self.norm_H, self.config.norm_eps)).to(dtype)


def build_model(base: BaseWeights, adapters: Adapters | None, version: int) -> SamplerModel:
    """Merge `adapters` into `base`, without changing either."""
    weights = base if adapters is None else merge(base, adapters)
    return SamplerModel(
        config=base.config,
        version=version,
        layers=tuple(_layer(layer) for layer in weights.layers),
        embedding_VH=base.embedding_VH,
        head=inference_linear(base.head_VH, None),
        norm_H=base.norm_H,
        rotary=Rotary(base.config, base.embedding_VH.dtype),
    )


def _layer(weights: LayerWeights) -> Layer:
    return Layer(
        norm_attention_H=weights.norm_attention_H,
        norm_mlp_H=weights.norm_mlp_H,
        norm_q_D=weights.norm_q_D,
        norm_k_D=weights.norm_k_D,
        **{name: inference_linear(weights.linear[name], weights.bias.get(name)) for name in FUSED},
    )
