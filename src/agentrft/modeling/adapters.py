"""Low-rank adapters on every linear layer, and their form on disk (PEFT's names, safetensors).

A fused layer has one A and one B; written out, each of its projections gets the same A and its rows of B, which is the
same function. Initialisation as in LoRA (arXiv 2106.09685): A random, B zero, scaled by alpha / rank.

Shapes: r rank, O and I the outputs and inputs of a linear layer.
"""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from agentrft.domain.errors import JobFailed
from agentrft.domain.training import LoraConfig
from agentrft.modeling.config import ModelConfig
from agentrft.modeling.weights import FUSED, BaseWeights


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapter:
    """fp32 master weights of one fused linear layer: y += scale * (x A^T) B^T."""

    a_rI: Tensor
    b_Or: Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapters:
    """The adapters of a whole model, one mapping by FUSED name per layer."""

    lora: LoraConfig
    layers: tuple[dict[str, Adapter], ...]

    @property
    def scale(self) -> float:
        return self.lora.alpha / self.lora.rank

    def parameters(self) -> list[Tensor]:
        """All master weights in a fixed order."""
        return [tensor for layer in self.layers for name in FUSED for tensor in (layer[name].a_rI, layer[name].b_Or)]


def new_adapters(weights: BaseWeights, lora: LoraConfig, seed: int) -> Adapters:
    """Fresh adapters that change nothing yet."""
    generator = torch.Generator().manual_seed(seed)

    def adapter(weight_OI: Tensor) -> Adapter:
        outputs, inputs = weight_OI.shape
        a_rI = torch.randn(lora.rank, inputs, generator=generator) / inputs**0.5
        return Adapter(a_rI=a_rI, b_Or=torch.zeros(outputs, lora.rank))

    return Adapters(
        lora=lora,
        layers=tuple({name: adapter(layer.linear[name]) for name in FUSED} for layer in weights.layers),
    )


def merged(weight_OI: Tensor, adapter: Adapter, scale: float) -> Tensor:
    """W + scale * B A in one product of the weight's dtype, accumulated in fp32 and rounded once.

    The factors are rounded to that dtype first, as the trainer's gradients have them too. In bf16 this takes a quarter
    of the time of adding a product of the fp32 masters (measured, 3072 x 576 at rank 32: 0.65 against 2.6 ms).
    """
    a_rI, b_Or = adapter.a_rI.detach(), adapter.b_Or.detach() * scale
    return torch.addmm(weight_OI, b_Or.to(weight_OI.dtype), a_rI.to(weight_OI.dtype))


def merge(base: BaseWeights, adapters: Adapters) -> BaseWeights:
    """A model with the adapters merged into its linear layers; everything else is shared with `base`."""
    layers = tuple(
        replace(old, linear={name: merged(old.linear[name], new[name], adapters.scale) for name in FUSED})
        for old, new in zip(base.layers, adapters.layers, strict=True)
    )
    return replace(base, layers=layers)


def save_adapters(adapters: Adapters, config: ModelConfig, folder: Path) -> None:
    """Write adapter_model.safetensors and adapter_config.json as PEFT does; each file appears whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    scratch = folder / "adapter_model.safetensors.partial"
    save_file({name: tensor.contiguous() for name, tensor in _peft_tensors(adapters, config)}, scratch)
    os.replace(scratch, folder / "adapter_model.safetensors")
    described = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "r": adapters.lora.rank,
        "lora_alpha": adapters.lora.alpha,
        "lora_dropout": 0.0,
        "bias": "none",
        "target_modules": [part.split(".")[-1] for parts in FUSED.values() for part in parts],
    }
    (folder / "adapter_config.json").write_text(json.dumps(described, indent=2))


def load_adapters(folder: Path, config: ModelConfig) -> Adapters:
    """Read what `save_adapters` wrote.

    Raises:
        JobFailed: the adapters are of another shape than the model, or were not written by agentrft.
    """
    described = json.loads((folder / "adapter_config.json").read_text())
    lora = LoraConfig(rank=int(described["r"]), alpha=float(described["lora_alpha"]))
    tensors = load_file(folder / "adapter_model.safetensors")
    try:
        layers = tuple(
            {name: _read_adapter(tensors, f"{_PEFT_PREFIX}{index}.", name, config) for name in FUSED}
            for index in range(config.layers)
        )
    except KeyError as error:
        raise JobFailed(f"The adapter in {folder.name!r} lacks the tensor {error}.", code="invalid_model") from error
    return Adapters(lora=lora, layers=layers)


_PEFT_PREFIX = "base_model.model.model.layers."


def _peft_tensors(adapters: Adapters, config: ModelConfig) -> Iterator[tuple[str, Tensor]]:
    for index, layer in enumerate(adapters.layers):
        for name, parts in FUSED.items():
            rows = _rows(name, config)
            for part, b_Or in zip(parts, layer[name].b_Or.detach().split(rows), strict=True):
                prefix = f"{_PEFT_PREFIX}{index}.{part}"
                yield f"{prefix}.lora_A.weight", layer[name].a_rI.detach().clone()
                yield f"{prefix}.lora_B.weight", b_Or


def _read_adapter(tensors: dict[str, Tensor], prefix: str, name: str, config: ModelConfig) -> Adapter:
    parts = FUSED[name]
    shared = [tensors[f"{prefix}{part}.lora_A.weight"] for part in parts]
    if any(not torch.equal(shared[0], other) for other in shared[1:]):
        raise JobFailed("This adapter was not written by agentrft: fused layers need one A.", code="invalid_model")
    adapter = Adapter(a_rI=shared[0], b_Or=torch.cat([tensors[f"{prefix}{part}.lora_B.weight"] for part in parts]))
    inputs = {"out": config.heads * config.head_dim, "down": config.intermediate}.get(name, config.hidden)
    if (adapter.b_Or.shape[0], adapter.a_rI.shape[1]) != (sum(_rows(name, config)), inputs):
        raise JobFailed("This adapter is of another shape than the model's layers.", code="invalid_model")
    return adapter


def _rows(name: str, config: ModelConfig) -> list[int]:
    """Outputs of each projection that a fused layer is made of."""
    kv = config.kv_heads * config.head_dim
    sizes = {
        "qkv": [config.heads * config.head_dim, kv, kv],
        "out": [config.hidden],
        "gate_up": [config.intermediate, config.intermediate],
        "down": [config.hidden],
    }
    return sizes[name]
