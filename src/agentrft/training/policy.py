"""Weights that can be trained: adapters over frozen weights, or all weights. fp32 masters, bf16 products.

Shapes: H hidden size, V vocabulary, r rank, O and I the outputs and inputs of a linear layer.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from agentrft.modeling.adapters import Adapter, Adapters, merge
from agentrft.modeling.network import Layer
from agentrft.modeling.weights import FUSED, BaseWeights, LayerWeights


class Policy(Protocol):
    """What the trainer moves. `network` is called once per micro-batch: gradients reach the masters through it."""

    base: BaseWeights

    def parameters(self) -> list[Tensor]:
        """fp32 masters, in a fixed order."""

    def network(self) -> BaseWeights:
        """Embedding, head and norms as the forward pass uses them."""

    def layers(self) -> list[Layer]: ...

    def changed(self) -> None:
        """The masters have moved: forget what was derived from them."""


class LoraPolicy:
    """Adapters over frozen weights; the base takes no gradient."""

    def __init__(self, base: BaseWeights, adapters: Adapters) -> None:
        self.base = base
        self.adapters = adapters
        self._merged: BaseWeights | None = None
        for parameter in adapters.parameters():
            parameter.requires_grad_()

    def parameters(self) -> list[Tensor]:
        return self.adapters.parameters()

    def network(self) -> BaseWeights:
        return self.base

    def changed(self) -> None:
        """See Policy."""
        self._merged = None

    def merged_weights(self) -> BaseWeights:
        """The weights that sampler and trainer both compute with."""
        if self._merged is None:
            self._merged = merge(self.base, self.adapters)
        return self._merged

    def layers(self) -> list[Layer]:
        pairs = zip(self.merged_weights().layers, self.adapters.layers, strict=True)
        return [_layer(weights, _adapted(weights, adapters, self.adapters.scale)) for weights, adapters in pairs]


def _adapted(
    weights: LayerWeights, adapters: dict[str, Adapter], scale: float
) -> Callable[[str], Callable[[Tensor], Tensor]]:
    """By name, a linear layer whose weights have the adapter merged in."""

    def linear(name: str) -> Callable[[Tensor], Tensor]:
        adapter, merged_OI, bias_O = adapters[name], weights.linear[name], weights.bias.get(name)

        def apply(x: Tensor) -> Tensor:
            out: Tensor = MergedLinear.apply(x, adapter.a_rI, adapter.b_Or, merged_OI, bias_O, scale)
            return out

        return apply

    return linear


class MergedLinear(torch.autograd.Function):
    """x (W + s B A)^T with the sum given: one product forward, as the sampler has it; gradients for x, A and B.

    Merging costs one rounding of the weights to bf16, the same in sampler and trainer, so both compute the same policy.
    """

    @staticmethod
    def forward(ctx, x, a_rI, b_Or, merged_OI, bias_O, scale):  # type: ignore[no-untyped-def]
        ctx.save_for_backward(x, a_rI, b_Or, merged_OI)
        ctx.scale = scale
        return F.linear(x, merged_OI, bias_O)

    @staticmethod
    def backward(ctx, grad_NO):  # type: ignore[no-untyped-def]
        x_NI, a_rI, b_Or, merged_OI = ctx.saved_tensors
        a, b = a_rI.to(x_NI.dtype), (b_Or * ctx.scale).to(x_NI.dtype)
        grad_Nr = grad_NO @ b
        d_a = (grad_Nr.T @ x_NI).to(a_rI.dtype)
        d_b = (grad_NO.T @ (x_NI @ a.T)).to(b_Or.dtype) * ctx.scale
        d_x = grad_NO @ merged_OI if ctx.needs_input_grad[0] else None
        return d_x, d_a, d_b, None, None, None


class FullPolicy:
    """All weights, embeddings and norms included."""

    def __init__(self, base: BaseWeights) -> None:
        self.base = base
        self._dtype = base.embedding_VH.dtype
        self.masters = map_weights(base, lambda tensor: tensor.float().clone().requires_grad_())

    def parameters(self) -> list[Tensor]:
        found: list[Tensor] = []

        def note(tensor: Tensor) -> Tensor:
            found.append(tensor)
            return tensor

        map_weights(self.masters, note)
        return found

    def network(self) -> BaseWeights:
        return map_weights(replace(self.masters, layers=()), lambda tensor: tensor.to(self._dtype))

    def layers(self) -> list[Layer]:
        def linear_of(weights: LayerWeights) -> Callable[[str], Callable[[Tensor], Tensor]]:
            return lambda name: lambda x: F.linear(x, weights.linear[name], weights.bias.get(name))

        cast = map_weights(self.masters, lambda tensor: tensor.to(self._dtype)).layers
        return [_layer(weights, linear_of(weights)) for weights in cast]

    def changed(self) -> None:
        """See Policy."""

    def snapshot(self) -> BaseWeights:
        """The current weights in the base's dtype."""
        return map_weights(self.masters, lambda tensor: tensor.detach().to(self._dtype))


def map_weights(weights: BaseWeights, change: Callable[[Tensor], Tensor]) -> BaseWeights:
    """Apply `change` to every tensor once; a tied head stays tied."""

    def layer(old: LayerWeights) -> LayerWeights:
        return LayerWeights(
            linear={name: change(old.linear[name]) for name in FUSED},
            bias={name: change(tensor) for name, tensor in old.bias.items()},
            norm_attention_H=change(old.norm_attention_H),
            norm_mlp_H=change(old.norm_mlp_H),
            norm_q_D=None if old.norm_q_D is None else change(old.norm_q_D),
            norm_k_D=None if old.norm_k_D is None else change(old.norm_k_D),
        )

    embedding_VH = change(weights.embedding_VH)
    return BaseWeights(
        config=weights.config,
        layers=tuple(layer(old) for old in weights.layers),
        embedding_VH=embedding_VH,
        head_VH=embedding_VH if weights.config.tied_head else change(weights.head_VH),
        norm_H=change(weights.norm_H),
    )


def _layer(weights: LayerWeights, linear: Callable[[str], Callable[[Tensor], Tensor]]) -> Layer:
    return Layer(
        norm_attention_H=weights.norm_attention_H,
        norm_mlp_H=weights.norm_mlp_H,
        norm_q_D=weights.norm_q_D,
        norm_k_D=weights.norm_k_D,
        **{name: linear(name) for name in FUSED},
    )
