"""The pointwise operations of a block, with backward passes that keep little.

On CPUs they are compiled kernels (kernels.py), as torch's own take several passes over memory each. Elsewhere, and in
other dtypes, they are torch's. Sampler and trainer compute the same either way.

Shapes: N packed tokens, H normalised size, I intermediate size, Q query heads, K key-value heads, D head size, X
columns of a fused layer.
"""

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from agentrft.modeling import kernels
from agentrft.modeling.floats import array, has_kernels


def rms_norm(x: Tensor, weight_H: Tensor, eps: float) -> Tensor:
    """x / sqrt(mean(x^2) + eps) * weight, over the last dimension."""
    if not has_kernels(x):
        return F.rms_norm(x, (x.shape[-1],), weight_H, eps)
    out: Tensor = _RmsNorm.apply(x, weight_H, eps) if torch.is_grad_enabled() else _rms_norm(x, weight_H, eps)
    return out


def gated_silu(gate_up_NX: Tensor) -> Tensor:
    """silu(gate) * up of [N, 2*I], gate first: [N, I]."""
    if not has_kernels(gate_up_NX):
        gate_NI, up_NI = gate_up_NX.chunk(2, dim=-1)
        return F.silu(gate_NI) * up_NI
    out: Tensor = _GatedSilu.apply(gate_up_NX) if torch.is_grad_enabled() else _gated_silu(gate_up_NX)
    return out


def split_rotated(
    qkv_NX: Tensor, rotary: tuple[Tensor, Tensor], heads: int, kv_heads: int
) -> tuple[Tensor, Tensor, Tensor]:
    """q [N, Q, D] and k [N, K, D] with rotary positions in the half-split form of Llama and Qwen, and v [N, K, D].

    `rotary` holds cosines and sines, [N, D/2] each.
    """
    if not has_kernels(qkv_NX):
        q, k, v = qkv_NX.unflatten(1, (heads + 2 * kv_heads, -1)).split([heads, kv_heads, kv_heads], dim=1)
        return _rotated(q, *rotary), _rotated(k, *rotary), v
    split = _SplitRotated.apply if torch.is_grad_enabled() else _split_rotated
    parts: tuple[Tensor, Tensor, Tensor] = split(qkv_NX, *rotary, heads, kv_heads)
    return parts


def _rotated(x_NhD: Tensor, cos_ND: Tensor, sin_ND: Tensor) -> Tensor:
    a, b = x_NhD.chunk(2, dim=-1)
    cos, sin = cos_ND[:, None], sin_ND[:, None]
    return torch.cat([a * cos - b * sin, b * cos + a * sin], dim=-1)


def _rms_norm(x: Tensor, weight_H: Tensor, eps: float) -> Tensor:
    out = torch.empty(x.shape, dtype=x.dtype)
    kernels.rms_norm(_rows(x), array(weight_H), eps, _rows(out))
    return out


def _gated_silu(gate_up_NX: Tensor) -> Tensor:
    out_NI = torch.empty(len(gate_up_NX), gate_up_NX.shape[1] // 2, dtype=gate_up_NX.dtype)
    kernels.gated_silu(_halves(gate_up_NX), array(out_NI))
    return out_NI


def _split_rotated(
    qkv_NX: Tensor, cos_ND: Tensor, sin_ND: Tensor, heads: int, kv_heads: int
) -> tuple[Tensor, Tensor, Tensor]:
    fused = qkv_NX.unflatten(1, (heads + 2 * kv_heads, -1))
    q, k = (torch.empty(len(fused), count, fused.shape[2], dtype=fused.dtype) for count in (heads, kv_heads))
    source, cos, sin = _halves(fused), _rows(cos_ND), _rows(sin_ND)
    kernels.rotate(source, 0, cos, sin, 1, _halves(q), 0)
    kernels.rotate(source, heads, cos, sin, 1, _halves(k), 0)
    return q, k, fused[:, heads + kv_heads :].contiguous()


class _RmsNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight_H, eps):  # type: ignore[no-untyped-def]
        ctx.save_for_backward(x, weight_H)
        ctx.eps = eps
        return _rms_norm(x, weight_H, eps)

    @staticmethod
    def backward(ctx, grad):  # type: ignore[no-untyped-def]
        x, weight_H = ctx.saved_tensors
        d_x = torch.empty(x.shape, dtype=x.dtype)
        d_weight_H = np.zeros(len(weight_H) if ctx.needs_input_grad[1] else 0, dtype=np.float32)
        kernels.rms_norm_backward(_rows(grad), _rows(x), array(weight_H), ctx.eps, _rows(d_x), d_weight_H)
        return d_x, torch.from_numpy(d_weight_H).to(weight_H.dtype) if len(d_weight_H) else None, None


class _GatedSilu(torch.autograd.Function):
    @staticmethod
    def forward(ctx, gate_up_NX):  # type: ignore[no-untyped-def]
        ctx.save_for_backward(gate_up_NX)
        return _gated_silu(gate_up_NX)

    @staticmethod
    def backward(ctx, grad_NI):  # type: ignore[no-untyped-def]
        (gate_up_NX,) = ctx.saved_tensors
        d_gate_up_NX = torch.empty(gate_up_NX.shape, dtype=gate_up_NX.dtype)
        kernels.gated_silu_backward(_rows(grad_NI), _halves(gate_up_NX), _halves(d_gate_up_NX))
        return d_gate_up_NX


class _SplitRotated(torch.autograd.Function):
    @staticmethod
    def forward(ctx, qkv_NX, cos_ND, sin_ND, heads, kv_heads):  # type: ignore[no-untyped-def]
        ctx.save_for_backward(cos_ND, sin_ND)
        return _split_rotated(qkv_NX, cos_ND, sin_ND, heads, kv_heads)

    @staticmethod
    def backward(ctx, d_q, d_k, d_v):  # type: ignore[no-untyped-def]
        cos, sin = (_rows(turn_ND) for turn_ND in ctx.saved_tensors)
        heads, kv_heads = d_q.shape[1], d_k.shape[1]
        d_fused = torch.empty(len(d_q), heads + 2 * kv_heads, d_q.shape[2], dtype=d_q.dtype)
        kernels.rotate(_halves(d_q), 0, cos, sin, -1, _halves(d_fused), 0)
        kernels.rotate(_halves(d_k), 0, cos, sin, -1, _halves(d_fused), heads)
        d_fused[:, heads + kv_heads :] = d_v
        return d_fused.flatten(1), None, None, None, None


def _rows(x: Tensor) -> Any:
    """All but the last dimension as one."""
    return array(x.reshape(-1, x.shape[-1]).contiguous())


def _halves(x: Tensor) -> Any:
    """The last dimension as two."""
    return array(x.contiguous().unflatten(-1, (2, -1)))
