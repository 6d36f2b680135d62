"""The pointwise operations of a block as compiled kernels, each one pass over memory, computed in fp32, rounded once.

All arrays are C-contiguous, bf16 bits or fp32 (floats.py); results go to arrays that are given.

Shapes: N packed tokens, H normalised size, I intermediate size, h heads, D half a head's size.
"""

import numpy as np

from agentrft.modeling.floats import cast, exp, kernel, load


@kernel
def rms_norm(x_NH, weight_H, eps, out_NH):  # type: ignore[no-untyped-def]
    """out = x / sqrt(mean(x^2) + eps) * weight."""
    rows, size = x_NH.shape
    for n in range(rows):
        total = np.float32(0)
        for h in range(size):
            value = load(x_NH[n, h])
            total += value * value
        inverse = np.float32(1) / np.sqrt(total / np.float32(size) + np.float32(eps))
        for h in range(size):
            out_NH[n, h] = cast(load(x_NH[n, h]) * inverse * load(weight_H[h]), out_NH[n, h])


@kernel
def rms_norm_backward(grad_NH, x_NH, weight_H, eps, d_x_NH, d_weight_H):  # type: ignore[no-untyped-def]
    """`d_weight_H` is fp32 and added to; of length 0 it is left out."""
    rows, size = x_NH.shape
    for n in range(rows):
        total, slope = np.float32(0), np.float32(0)
        for h in range(size):
            value = load(x_NH[n, h])
            total += value * value
            slope += value * load(grad_NH[n, h]) * load(weight_H[h])
        inverse = np.float32(1) / np.sqrt(total / np.float32(size) + np.float32(eps))
        slope *= inverse * inverse * inverse / np.float32(size)
        for h in range(size):
            value, scaled = load(x_NH[n, h]), load(grad_NH[n, h]) * load(weight_H[h])
            d_x_NH[n, h] = cast(scaled * inverse - value * slope, d_x_NH[n, h])
        for h in range(d_weight_H.shape[0]):
            d_weight_H[h] += load(grad_NH[n, h]) * load(x_NH[n, h]) * inverse


@kernel
def gated_silu(gate_up_N2I, out_NI):  # type: ignore[no-untyped-def]
    """out = silu(gate) * up."""
    rows, size = out_NI.shape
    for n in range(rows):
        for i in range(size):
            gate, up = load(gate_up_N2I[n, 0, i]), load(gate_up_N2I[n, 1, i])
            out_NI[n, i] = cast(gate / (np.float32(1) + exp(-gate)) * up, out_NI[n, i])


@kernel
def gated_silu_backward(grad_NI, gate_up_N2I, d_gate_up_N2I):  # type: ignore[no-untyped-def]
    """The gradients of gate and up. A row is fp32 first: a loop with two results in memory is not vectorised."""
    rows, size = grad_NI.shape
    d_gate_I, d_up_I = np.empty(size, dtype=np.float32), np.empty(size, dtype=np.float32)
    for n in range(rows):
        for i in range(size):
            grad, gate, up = load(grad_NI[n, i]), load(gate_up_N2I[n, 0, i]), load(gate_up_N2I[n, 1, i])
            share = np.float32(1) / (np.float32(1) + exp(-gate))
            d_gate_I[i] = grad * up * share * (np.float32(1) + gate * (np.float32(1) - share))
            d_up_I[i] = grad * gate * share
        for i in range(size):
            d_gate_up_N2I[n, 0, i] = cast(d_gate_I[i], d_gate_up_N2I[n, 0, i])
        for i in range(size):
            d_gate_up_N2I[n, 1, i] = cast(d_up_I[i], d_gate_up_N2I[n, 1, i])


@kernel
def rotate(x_Nh2D, first, cos_ND, sin_ND, sign, out_Nh2D, at):  # type: ignore[no-untyped-def]
    """Heads of `x` from `first` on, turned by their positions, to `out` from `at` on; sign -1 turns them back.

    As many heads as fit into both.
    """
    heads = min(x_Nh2D.shape[1] - first, out_Nh2D.shape[1] - at)
    for n in range(x_Nh2D.shape[0]):
        for h in range(heads):
            for d in range(cos_ND.shape[1]):
                a, b = load(x_Nh2D[n, first + h, 0, d]), load(x_Nh2D[n, first + h, 1, d])
                cos, sin = load(cos_ND[n, d]), load(sin_ND[n, d]) * np.float32(sign)
                out_Nh2D[n, at + h, 0, d] = cast(a * cos - b * sin, out_Nh2D[n, at + h, 0, d])
                out_Nh2D[n, at + h, 1, d] = cast(b * cos + a * sin, out_Nh2D[n, at + h, 1, d])
