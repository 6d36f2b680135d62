"""Batched products of few rows with long matrices, which is what decoding over a cache is, as fast as a CPU has them.

Which of the two arrangements is faster depends on the processor, and each wants values laid out its own way. Measured
for 96 products of 3 x 64 with 64 x 320 and back, 30 layers, bf16, one thread (torch 2.13): with AMX the transposed one
wins by a factor of 2 to 3; on AVX512-BF16 without AMX the plain one does, 23 against 57 ms.

Shapes: X products, R rows, I and N the sides of a matrix, T positions, D head size.
"""

from functools import cache

import torch
from torch import Tensor


@cache
def _transposed() -> bool:
    """Whether this processor multiplies the transposed matrices faster."""
    return torch.cpu._is_amx_tile_supported()


def few_rows(rows_XRI: Tensor, matrices_XIN: Tensor) -> Tensor:
    """[X, R, N], contiguous; R is small."""
    if _transposed() and rows_XRI.device.type == "cpu":
        return torch.bmm(matrices_XIN.transpose(1, 2), rows_XRI.transpose(1, 2)).transpose(1, 2).contiguous()
    return torch.bmm(rows_XRI, matrices_XIN)


def new_values(like: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Zeros [..., T, D], laid out in memory as `few_rows` likes them."""
    *outer, positions, size = shape
    if _transposed() and like.device.type == "cpu":
        return like.new_zeros(*outer, size, positions).transpose(-1, -2)
    return like.new_zeros(shape)
