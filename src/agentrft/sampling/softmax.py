"""Attention weights over two parts of the past at once: the root that sessions share, and what each has of its own.

Scores are turned into weights in place, as one compiled pass on CPUs. In torch's operations the same takes a
concatenation, a mask and copies, which cost as much as the products around them.

Shapes: K key-value heads, S queries (slots, or tokens of a span), R query heads per key-value head, P root positions, T
own positions.
"""

import numpy as np
import torch
from torch import Tensor

from agentrft.modeling.floats import array, cast, exp, has_kernels, kernel, load


def weigh(root_KSRP: Tensor, own_KSRT: Tensor, lengths_S: Tensor, rooted_S: Tensor) -> None:
    """Replace scores by weights that add up to 1 over both parts.

    Args:
        root_KSRP: contiguous; P may be 0.
        own_KSRT: contiguous but for the order of K and S.
        lengths_S: own positions that each query sees, int64; one that sees none gets weights of 0 for them.
        rooted_S: whether each query sees the root.
    """
    if not has_kernels(own_KSRT):
        _weigh_with_torch(root_KSRP, own_KSRT, lengths_S, rooted_S)
        return
    heads, queries, ratio, positions = own_KSRT.shape
    by_query = own_KSRT.stride(1) > own_KSRT.stride(0)  # [S, K, R, T] in memory, not [K, S, R, T]
    rows = own_KSRT.transpose(0, 1) if by_query else own_KSRT
    steps = (ratio, heads * ratio) if by_query else (queries * ratio, ratio)
    _weigh(
        array(root_KSRP.view(heads * queries * ratio, -1) if root_KSRP.numel() else rows.new_empty(0, 0)),
        array(rows.reshape(-1, positions)),
        array(lengths_S),
        array(rooted_S),
        (heads, ratio, *steps),
    )


@kernel
def _weigh(root_XP, own_XT, lengths_S, rooted_S, layout):  # type: ignore[no-untyped-def]
    """`layout`: K, R, and by how many rows of `own_XT` the next head and the next query are away."""
    heads, ratio, head_step, query_step = layout
    queries, shared = len(lengths_S), root_XP.shape[1]
    row_P, row_T = np.empty(shared, dtype=np.float32), np.empty(own_XT.shape[1], dtype=np.float32)
    for k in range(heads):
        for s in range(queries):
            seen = shared if rooted_S[s] else 0
            own = lengths_S[s]
            for r in range(ratio):
                x, y = (k * queries + s) * ratio + r, k * head_step + s * query_step + r
                peak = np.float32(-np.inf)
                for p in range(seen):
                    peak = max(peak, load(root_XP[x, p]))
                for t in range(own):
                    peak = max(peak, load(own_XT[y, t]))
                total = np.float32(0)
                for p in range(seen):
                    row_P[p] = exp(load(root_XP[x, p]) - peak)
                    total += row_P[p]
                for t in range(own):
                    row_T[t] = exp(load(own_XT[y, t]) - peak)
                    total += row_T[t]
                share = np.float32(1) / total if total > np.float32(0) else np.float32(0)
                for p in range(seen):
                    root_XP[x, p] = cast(row_P[p] * share, root_XP[x, p])
                for t in range(own):
                    own_XT[y, t] = cast(row_T[t] * share, own_XT[y, t])
                root_XP[x, seen:] = 0
                own_XT[y, own:] = 0


def _weigh_with_torch(root_KSRP: Tensor, own_KSRT: Tensor, lengths_S: Tensor, rooted_S: Tensor) -> None:
    late_ST = torch.arange(own_KSRT.shape[3], device=own_KSRT.device)[None] >= lengths_S[:, None]
    root_KSRP.masked_fill_(~rooted_S[:, None, None], float("-inf"))
    own_KSRT.masked_fill_(late_ST[:, None], float("-inf"))
    weights = torch.softmax(torch.cat([root_KSRP, own_KSRT], dim=-1), dim=-1).nan_to_num_()
    shared = root_KSRP.shape[3]
    root_KSRP.copy_(weights[..., :shared])
    own_KSRT.copy_(weights[..., shared:])
