"""Draw the next token of each row by inverse CDF, in two stages over blocks of the vocabulary.

One uniform number per row, so that a seed fixes a completion whatever else is in the batch. A cumulative sum over the
whole vocabulary costs more than the model's last layer on a CPU; sums of blocks and one block's cumulative sum do not.

Shapes: B rows, V vocabulary, W block width, N blocks.
"""

import torch
from torch import Tensor

BLOCK = 128


def draw(logits_BV: Tensor, uniform_B: Tensor) -> tuple[Tensor, Tensor]:
    """Token ids [B] and their log-probabilities [B], from fp32 logits; `uniform_B` in [0, 1). Overwrites the logits."""
    peak_B1 = logits_BV.amax(dim=-1, keepdim=True)
    mass_BV = logits_BV.sub_(peak_B1).exp_()
    rows, width = mass_BV.shape
    whole = width // BLOCK * BLOCK
    sums_BN = mass_BV[:, :whole].view(rows, -1, BLOCK).sum(dim=-1)
    if whole < width:
        sums_BN = torch.cat([sums_BN, mass_BV[:, whole:].sum(dim=-1, keepdim=True)], dim=-1)
    edges_BN = sums_BN.double().cumsum(dim=-1)
    total_B1 = edges_BN[:, -1:]
    target_B1 = uniform_B.double()[:, None] * total_B1
    block_B1 = torch.searchsorted(edges_BN, target_B1, right=True).clamp_max_(edges_BN.shape[1] - 1)
    before_B1 = edges_BN.gather(1, block_B1) - sums_BN.double().gather(1, block_B1)
    columns_BW = (block_B1 * BLOCK + torch.arange(BLOCK, device=logits_BV.device)).clamp_max_(width - 1)
    inside_BW = mass_BV.gather(1, columns_BW).double()
    inside_BW[block_B1 * BLOCK + torch.arange(BLOCK, device=logits_BV.device) >= width] = 0.0
    within_B1 = torch.searchsorted(inside_BW.cumsum(dim=-1), target_B1 - before_B1, right=True)
    last_B1 = (inside_BW > 0).long().mul_(torch.arange(1, BLOCK + 1, device=logits_BV.device)).amax(1, True) - 1
    within_B1 = torch.minimum(within_B1, last_B1.clamp_min_(0))
    ids_B1 = columns_BW.gather(1, within_B1)
    logps_B1 = (mass_BV.gather(1, ids_B1).double() / total_B1).log()
    return ids_B1[:, 0], logps_B1[:, 0].float()


def restrict_top_p(logits_BV: Tensor, top_p_B: Tensor) -> Tensor:
    """Logits with everything outside each row's nucleus of mass `top_p_B` at -inf; the likeliest token always stays."""
    ordered_BV, order_BV = logits_BV.sort(dim=-1, descending=True)
    mass_BV = ordered_BV.softmax(dim=-1)
    outside_BV = mass_BV.cumsum(dim=-1) - mass_BV >= top_p_B[:, None]
    outside_BV[:, 0] = False
    return logits_BV.masked_fill(outside_BV.gather(1, order_BV.argsort(dim=-1)), float("-inf"))
