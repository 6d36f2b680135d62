"""Log-probabilities of chosen tokens without keeping logits: a block of the vocabulary at a time, twice.

All tokens meet a block together, so that each part of the output layer is laid out for the product once. The backward
pass computes them anew.

Shapes: A action tokens, padded to a multiple of ROWS (attention.py says why), H hidden size, V vocabulary, W tokens
of a block.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from agentrft.modeling.floats import array, has_kernels
from agentrft.training import kernels

BLOCK = 6144  # tokens of the vocabulary; with 400 action tokens, 5 MB of bf16
ROWS = 128
LEAST = -1e30  # below any logit, and finite: its product with no mass is 0


class SelectedLogps(torch.autograd.Function):
    """(states [A,H], head [V,H], targets [A]) -> (log-probabilities [A], entropies [A]), both fp32.

    The entropy, in nats, is a metric: no gradient flows through it.
    """

    @staticmethod
    def forward(ctx, states_AH: Tensor, head_VH: Tensor, targets_A: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[no-untyped-def]
        tokens, padding = len(targets_A), -len(targets_A) % ROWS
        states_AH, targets_A = F.pad(states_AH, (0, 0, 0, padding)), F.pad(targets_A, (0, padding))
        sums = _Sums.empty(targets_A)
        for start, head_WH in _blocks(head_VH):
            sums.absorb(F.linear(states_AH, head_WH), targets_A - start)
        ctx.save_for_backward(states_AH, head_VH, targets_A, sums.norm_A)
        logp_A, entropy_A = (x_A[:tokens] for x_A in (sums.chosen_A - sums.norm_A, sums.entropy_A))
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
            d_logits_AW = _gradients(F.linear(states_AH, head_WH), targets_A - start, norm_A, grad_A)
            d_states_AH += d_logits_AW @ head_WH
            if d_head_VH is not None:
                d_head_VH[start : start + len(head_WH)] = d_logits_AW.T @ states_AH
        return d_states_AH[:tokens].to(states_AH.dtype), d_head_VH, None


@dataclass(slots=True, kw_only=True)
class _Sums:
    """What kernels.absorb keeps of the blocks so far, fp32."""

    peak_A: Tensor
    mass_A: Tensor
    dot_A: Tensor
    chosen_A: Tensor

    @staticmethod
    def empty(targets_A: Tensor) -> "_Sums":
        zeros = torch.zeros(targets_A.shape, device=targets_A.device)
        return _Sums(peak_A=zeros + LEAST, mass_A=zeros.clone(), dot_A=zeros.clone(), chosen_A=zeros)

    @property
    def norm_A(self) -> Tensor:
        return self.peak_A + self.mass_A.log()

    @property
    def entropy_A(self) -> Tensor:
        return self.mass_A.log() - self.dot_A / self.mass_A

    def absorb(self, logits_AW: Tensor, columns_A: Tensor) -> None:
        """Take a block in; `columns_A` are the targets' columns, inside of it or not."""
        if has_kernels(logits_AW):
            parts = (logits_AW, columns_A, self.peak_A, self.mass_A, self.dot_A, self.chosen_A)
            kernels.absorb(*(array(part) for part in parts))
            return
        wide_AW = logits_AW.float()
        rows = _inside(columns_A, wide_AW.shape[1])
        self.chosen_A[rows] = wide_AW[rows, columns_A[rows]]
        peak_A = torch.maximum(self.peak_A, wide_AW.amax(dim=-1))
        down_A = self.peak_A - peak_A
        wide_AW -= peak_A[:, None]
        weights_AW = wide_AW.exp()
        self.dot_A = down_A.exp() * (self.dot_A + down_A * self.mass_A) + torch.linalg.vecdot(weights_AW, wide_AW)
        self.mass_A = down_A.exp() * self.mass_A + weights_AW.sum(dim=-1)
        self.peak_A = peak_A


def _gradients(logits_AW: Tensor, columns_A: Tensor, norm_A: Tensor, grad_A: Tensor) -> Tensor:
    """grad * (1 at the target - e^(logit - norm)) in the dtype of the logits, which kernels overwrite."""
    if has_kernels(logits_AW):
        kernels.logit_gradients(*(array(part) for part in (logits_AW, columns_A, norm_A, grad_A)))
        return logits_AW
    d_AW = logits_AW.float().sub_(norm_A[:, None]).exp_().mul_(-grad_A[:, None])
    rows = _inside(columns_A, d_AW.shape[1])
    d_AW[rows, columns_A[rows]] += grad_A[rows]
    return d_AW.to(logits_AW.dtype)


def _blocks(head_VH: Tensor) -> Iterator[tuple[int, Tensor]]:
    """Where each block of the vocabulary begins, and its part of the output layer."""
    for start in range(0, len(head_VH), BLOCK):
        yield start, head_VH[start : start + BLOCK]


def _inside(columns_A: Tensor, width: int) -> Tensor:
    """The rows whose targets lie in a block."""
    return ((columns_A >= 0) & (columns_A < width)).nonzero()[:, 0]
