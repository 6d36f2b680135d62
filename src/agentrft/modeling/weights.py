"""A model's weights in memory: loaded from safetensors, fused, in bf16.

Shapes: H hidden size, V vocabulary, O and I the outputs and inputs of a linear layer.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from agentrft.domain.errors import JobFailed
from agentrft.modeling.config import ModelConfig

FUSED = {
    "qkv": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "out": ("self_attn.o_proj",),
    "gate_up": ("mlp.gate_proj", "mlp.up_proj"),
    "down": ("mlp.down_proj",),
}
"""Our linear layers and the projections of Hugging Face's format that each is made of, in order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerWeights:
    linear: dict[str, Tensor]  # by the names of FUSED, each [O, I]
    bias: dict[str, Tensor]  # only where the family has one
    norm_attention_H: Tensor
    norm_mlp_H: Tensor
    norm_q_D: Tensor | None
    norm_k_D: Tensor | None


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseWeights:
    config: ModelConfig
    layers: tuple[LayerWeights, ...]
    embedding_VH: Tensor
    head_VH: Tensor
    norm_H: Tensor


def load_weights(folder: Path, dtype: torch.dtype = torch.bfloat16, *, device: str = "cpu") -> BaseWeights:
    """Read all *.safetensors of a folder in Hugging Face's format. On the device "meta" only their shapes are read.

    Raises:
        JobFailed: a tensor that the model's family needs is missing.
    """
    return load_tensors(folder, ModelConfig.from_folder(folder), dtype, device=device)


def load_tensors(folder: Path, config: ModelConfig, dtype: torch.dtype, *, device: str = "cpu") -> BaseWeights:
    """As `load_weights`, for a folder without a config.json."""
    tensors = _read_tensors(folder, dtype, device)
    try:
        embedding_VH = tensors["model.embed_tokens.weight"]
        head_VH = embedding_VH if config.tied_head else tensors["lm_head.weight"]
        layers = tuple(_layer(tensors, f"model.layers.{index}.", config) for index in range(config.layers))
        norm_H = tensors["model.norm.weight"]
    except KeyError as error:
        raise JobFailed(f"The model in {folder.name!r} lacks the tensor {error}.", code="invalid_model") from error
    return BaseWeights(config=config, layers=layers, embedding_VH=embedding_VH, head_VH=head_VH, norm_H=norm_H)


def _read_tensors(folder: Path, dtype: torch.dtype, device: str) -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = {}
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(str(file), framework="pt") as opened:
            for name in opened.keys():  # noqa: SIM118  it is no mapping
                if device == "meta":
                    tensors[name] = torch.empty(opened.get_slice(name).get_shape(), dtype=dtype, device=device)
                else:
                    tensors[name] = opened.get_tensor(name).to(dtype).to(device)
    return tensors


def _layer(tensors: dict[str, Tensor], prefix: str, config: ModelConfig) -> LayerWeights:
    def fuse(parts: tuple[str, ...], kind: str) -> Tensor:
        return torch.cat([tensors.pop(f"{prefix}{part}.{kind}") for part in parts])

    return LayerWeights(
        linear={name: fuse(parts, "weight") for name, parts in FUSED.items()},
        bias={"qkv": fuse(FUSED["qkv"], "bias")} if config.qkv_bias else {},
        norm_attention_H=tensors[prefix + "input_layernorm.weight"],
        norm_mlp_H=tensors[prefix + "post_attention_layernorm.weight"],
        norm_q_D=tensors[prefix + "self_attn.q_norm.weight"] if config.qk_norm else None,
        norm_k_D=tensors[prefix + "self_attn.k_norm.weight"] if config.qk_norm else None,
    )


def save_weights(weights: BaseWeights, folder: Path) -> None:
    """Write model.safetensors under Hugging Face's names. The folder's config.json and tokenizer are the caller's."""
    config = weights.config
    kv = config.kv_heads * config.head_dim
    sizes = {"qkv": [config.heads * config.head_dim, kv, kv], "gate_up": [config.intermediate] * 2}
    tensors = {"model.embed_tokens.weight": weights.embedding_VH, "model.norm.weight": weights.norm_H}
    if not config.tied_head:
        tensors["lm_head.weight"] = weights.head_VH
    for index, layer in enumerate(weights.layers):
        prefix = f"model.layers.{index}."
        tensors[prefix + "input_layernorm.weight"] = layer.norm_attention_H
        tensors[prefix + "post_attention_layernorm.weight"] = layer.norm_mlp_H
        if layer.norm_q_D is not None and layer.norm_k_D is not None:
            tensors[prefix + "self_attn.q_norm.weight"] = layer.norm_q_D
            tensors[prefix + "self_attn.k_norm.weight"] = layer.norm_k_D
        for kind, fused in (("weight", layer.linear), ("bias", layer.bias)):
            for name, tensor in fused.items():
                rows = sizes.get(name, [tensor.shape[0]])
                for part, piece in zip(FUSED[name], tensor.split(rows), strict=True):
                    tensors[f"{prefix}{part}.{kind}"] = piece
    save_file(
        {name: tensor.detach().contiguous().clone() for name, tensor in tensors.items()}, folder / "model.safetensors"
    )
