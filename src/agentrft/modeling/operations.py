"""The pointwise operations of a block, with backward passes that keep little.

Autograd's own versions keep fp32 copies and every intermediate: about twice the memory and a third more time of a whole
training pass on a CPU. The forward results are those of the plain operations, bit for bit, so that the sampler, which
runs without gradients, computes the same.

Shapes: N packed tokens, H normalised size, I intermediate size, h heads, D head size.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def rms_norm(x_NH: Tensor, weight_H: Tensor, eps: float) -> Tensor:
    """x / sqrt(mean(x^2) + eps) * weight, over the last dimension."""
    if not torch.is_grad_enabled():
        return F.rms_norm(x_NH, (x_NH.shape[-1],), weight_H, eps)
    out: Tensor = _RmsNorm.apply(x_NH, weight_H, eps)
    return out


def gated_silu(gate_up_NI2: Tensor) -> Tensor:
    """silu(gate) * up of [N, 2*I], gate first: [N, I]."""
    if not torch.is_grad_enabled():
        return _gated_silu(gate_up_NI2)
    out: Tensor = _GatedSilu.apply(gate_up_NI2)
    return out


def rotate(x_NhD: Tensor, cos_N1D: Tensor, sin_N1D: Tensor) -> Tensor:
    """Rotary embedding in the half-split form of Llama and Qwen; cos and sin are [N, 1, D/2]."""
    if not torch.is_grad_enabled():
        return _rotate(x_NhD, cos_N1D, sin_N1D)
    out: Tensor = _Rotate.apply(x_NhD, cos_N1D, sin_N1D)
    return out


class _RmsNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight_H, eps):  # type: ignore[no-untyped-def]
        ctx.save_for_backward(x, weight_H)
        ctx.eps = eps
        return F.rms_norm(x, (x.shape[-1],), weight_H, eps)

    @staticmethod
    def backward(ctx, grad):  # type: ignore[no-untyped-def]
        x, weight_H = ctx.saved_tensors
        wide = x.float()
        size = x.shape[-1]
        inverse = torch.linalg.vector_norm(wide, dim=-1, keepdim=True).square_().div_(size).add_(ctx.eps).rsqrt_()
        scaled = grad * weight_H.float()
        slope = torch.linalg.vecdot(scaled, wide).unsqueeze(-1) * inverse.pow(3).div_(size)
        d_weight = None
        if ctx.needs_input_grad[1]:
            d_weight = (grad.float() * wide * inverse).reshape(-1, size).sum(dim=0).to(weight_H.dtype)
        # In fp32 `wide` is x: not ours to change.
        d_x = scaled.mul_(inverse).addcmul_(wide, slope, value=-1).to(x.dtype)
        return d_x, d_weight, None


class _GatedSilu(torch.autograd.Function):
    @staticmethod
    def forward(ctx, gate_up):  # type: ignore[no-untyped-def]
        ctx.save_for_backward(gate_up)
        return _gated_silu(gate_up)

    @staticmethod
    def backward(ctx, grad_NI):  # type: ignore[no-untyped-def]
        (gate_up,) = ctx.saved_tensors
        gate_NI, up_NI = gate_up.chunk(2, dim=-1)
        d_gate_up = torch.empty_like(gate_up)
        d_gate_NI, d_up_NI = d_gate_up.chunk(2, dim=-1)
        torch.mul(grad_NI, F.silu(gate_NI), out=d_up_NI)
        torch.ops.aten.silu_backward.grad_input(grad_NI * up_NI, gate_NI, grad_input=d_gate_NI)
        return d_gate_up


class _Rotate(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, cos, sin):  # type: ignore[no-untyped-def]
        ctx.save_for_backward(cos, sin)
        return _rotate(x, cos, sin)

    @staticmethod
    def backward(ctx, grad):  # type: ignore[no-untyped-def]
        cos, sin = ctx.saved_tensors
        return _rotate(grad, cos, -sin), None, None


def _gated_silu(gate_up: Tensor) -> Tensor:
    gate_NI, up_NI = gate_up.chunk(2, dim=-1)
    return F.silu(gate_NI).mul_(up_NI)


def _rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    a, b = x.chunk(2, dim=-1)
    out = torch.empty_like(x, memory_format=torch.contiguous_format)
    left, right = out.chunk(2, dim=-1)
    torch.mul(a, cos, out=left).addcmul_(b, sin, value=-1)
    torch.mul(b, cos, out=right).addcmul_(a, sin)
    return out
