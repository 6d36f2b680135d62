"""Log-probabilities of chosen tokens without keeping logits: a block of the vocabulary at a time, twice.

All tokens meet a block together, so that each part of the output layer is laid out for the product once. The backward
pass computes them anew.

Shapes: A action tokens, padded to a multiple of ROWS (attention.py says why), H hidden size, V vocabulary, W tokens
of a block.
"""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

BLOCK = 6144  # tokens of the vocabulary; with 400 action tokens, 10 MB of fp32
ROWS = 128
LEAST = -1e30  # below any logit, and finite: its product with no mass is 0


class SelectedLogps(torch.autograd.Function):
    """(states [A,H], head [V,H], targets [A]) -> (log-probabilities [A], entropies [A]), both fp32.

    The entropy, in nats, is a metric: no gradient flows through it.
    """

    @staticmethod
    def forward(ctx, states_AH: Tensor, head_VH: Tensor, targets_A: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[no-untyped-def]
        padding = -len(targets_A) % ROWS
        states_AH, targets_A = F.pad(states_AH, (0, 0, 0, padding)), F.pad(targets_A, (0, padding))
        mass_A, dot_A, chosen_A = (torch.zeros(targets_A.shape, device=states_AH.device) for _ in range(3))
        peak_A = torch.full_like(mass_A, LEAST)
        for start, head_WH in _blocks(head_VH):
            logits_AW = F.linear(states_AH, head_WH).float()
            rows, columns = _inside(targets_A, start, len(head_WH))
            chosen_A[rows] = logits_AW[rows, columns]
            higher_A = torch.maximum(peak_A, logits_AW.amax(dim=-1))
            shrink_A = torch.exp(peak_A - higher_A)
            logits_AW.sub_(higher_A[:, None])
            weights_AW = logits_AW.exp()
            dot_A = shrink_A * (dot_A + (peak_A - higher_A) * mass_A) + torch.linalg.vecdot(weights_AW, logits_AW)
            mass_A = shrink_A * mass_A + weights_AW.sum(dim=-1)
            peak_A = higher_A
        norm_A = peak_A + mass_A.log()
        ctx.save_for_backward(states_AH, head_VH, targets_A, norm_A)
        entropy_A = mass_A.log() - dot_A / mass_A
        logp_A, entropy_A = (x_A[: len(x_A) - padding] for x_A in (chosen_A - norm_A, entropy_A))
        ctx.mark_non_differentiable(entropy_A)
        return logp_A, entropy_A

    @staticmethod
    def backward(ctx, grad_A: Tensor, _entropy: Tensor):  # type: ignore[no-untyped-def]
        states_AH, head_VH, targets_A, norm_A = ctx.saved_tensors
        tokens = len(grad_A)
        grad_A = F.pad(grad_A, (0, len(targets_A) - tokens))
        d_states_AH = torch.zeros(states_AH.shape, device=states_AH.device)
        d_head_VH = torch.empty_like(head_VH) if ctx.needs_input_grad[1] else None
        for start, head_WH in _blocks(head_VH):
            d_wide_AW = F.linear(states_AH, head_WH).float().sub_(norm_A[:, None]).exp_().mul_(-grad_A[:, None])
            rows, columns = _inside(targets_A, start, len(head_WH))
            d_wide_AW[rows, columns] += grad_A[rows]
            d_logits_AW = d_wide_AW.to(states_AH.dtype)
            d_states_AH += d_logits_AW @ head_WH
            if d_head_VH is not None:
                d_head_VH[start : start + len(head_WH)] = d_logits_AW.T @ states_AH
        return d_states_AH[:tokens].to(states_AH.dtype), d_head_VH, None


def _blocks(head_VH: Tensor) -> Iterator[tuple[int, Tensor]]:
    """Where each block of the vocabulary begins, and its part of the output layer."""
    for start in range(0, len(head_VH), BLOCK):
        yield start, head_VH[start : start + BLOCK]


def _inside(targets_A: Tensor, start: int, width: int) -> tuple[Tensor, Tensor]:
    """The tokens whose targets lie in a block, and the targets' columns there."""
    rows = ((targets_A >= start) & (targets_A < start + width)).nonzero()[:, 0]
    return rows, targets_A[rows] - start
