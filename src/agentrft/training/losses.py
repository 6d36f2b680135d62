"""The objectives by the names that users know, one short function each (rl-engine reference, sections 1.2 and 1.3).

Each takes the action tokens of one micro-batch and gives a sum that only needs adding up over micro-batches: whatever
is averaged over is a constant of the whole batch, so packing cannot change a result. All of it in fp32.

Shapes: A action tokens, n rows (sequences).
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from agentrft.domain.training import Loss

WEIGHT_CAP = 5.0  # of importance weights; ScaleRL (arXiv 2510.13786)
DPPO_DELTA = 0.2  # DPPO-Binary-TV (arXiv 2602.04879)
TOKEN_RATIO_RANGE = (1e-4, 1e2)  # outside it, sampler and trainer disagree about what was sampled
MEAN_RATIO_RANGE = (0.9, 1.1)  # of a sequence's geometric mean ratio
CLIP = 0.2
CLIP_HIGH_DAPO = 0.28  # DAPO's clip-higher (arXiv 2503.14476)
CLIP_GSPO = (3e-4, 4e-4)  # GSPO (arXiv 2507.18071)


@dataclass(frozen=True, slots=True, kw_only=True)
class Actions:
    """Action tokens of one micro-batch, and constants of the whole batch."""

    logp_A: Tensor  # under the weights being trained; carries the gradient
    old_logp_A: Tensor  # as sampled
    advantage_A: Tensor
    row_A: Tensor  # index of each token's sequence
    length_n: Tensor  # action tokens of each sequence
    sequences: int  # of the whole batch
    tokens: int  # action tokens of the whole batch
    normaliser: float  # rollouts x L0

    @property
    def log_ratio_A(self) -> Tensor:
        return self.logp_A - self.old_logp_A

    def mean_per_row(self, x_A: Tensor) -> Tensor:
        """[n]"""
        total_n = torch.zeros_like(self.length_n, dtype=x_A.dtype).index_add(0, self.row_A, x_A)
        return total_n / self.length_n


def rft_v1(actions: Actions) -> Tensor:
    """Importance-weighted REINFORCE with DPPO's mask and the mismatch guard; divided by rollouts x L0."""
    ratio_A = actions.log_ratio_A.detach().exp()
    change_A = actions.logp_A.detach().exp() - actions.old_logp_A.exp()
    kept_A = trust_mask(actions.advantage_A, change_A) & guard_mask(actions)[actions.row_A]
    weight_A = ratio_A.clamp_max(WEIGHT_CAP)
    return -(kept_A * weight_A * actions.advantage_A * actions.logp_A).sum() / actions.normaliser


def grpo(actions: Actions) -> Tensor:
    """Clipped ratio, mean over each sequence, then over sequences (arXiv 2402.03300). Advantages stay without std."""
    objective_n = actions.mean_per_row(_clipped(actions, CLIP, CLIP))
    return -objective_n.sum() / actions.sequences


def dr_grpo(actions: Actions) -> Tensor:
    """Clipped ratio, divided by a constant: no length bias (arXiv 2503.20783)."""
    return -_clipped(actions, CLIP, CLIP).sum() / actions.normaliser


def dapo(actions: Actions) -> Tensor:
    """Clip-higher, mean over all tokens of the batch (arXiv 2503.14476)."""
    return -_clipped(actions, CLIP, CLIP_HIGH_DAPO).sum() / actions.tokens


def gspo(actions: Actions) -> Tensor:
    """One ratio per sequence, its geometric mean, clipped narrowly (arXiv 2507.18071)."""
    ratio_n = actions.mean_per_row(actions.log_ratio_A).exp()
    advantage_n = actions.mean_per_row(actions.advantage_A)
    clipped_n = ratio_n.clamp(1 - CLIP_GSPO[0], 1 + CLIP_GSPO[1])
    return -torch.minimum(ratio_n * advantage_n, clipped_n * advantage_n).sum() / actions.sequences


def cispo(actions: Actions) -> Tensor:
    """REINFORCE with a capped, detached importance weight; no token loses its gradient (arXiv 2506.13585)."""
    weight_A = actions.log_ratio_A.detach().exp().clamp_max(WEIGHT_CAP)
    return -(weight_A * actions.advantage_A * actions.logp_A).sum() / actions.tokens


LOSSES: dict[Loss, Callable[[Actions], Tensor]] = {
    Loss.RFT_V1: rft_v1,
    Loss.GRPO: grpo,
    Loss.DR_GRPO: dr_grpo,
    Loss.DAPO: dapo,
    Loss.GSPO: gspo,
    Loss.CISPO: cispo,
}


def trust_mask(advantage_A: Tensor, change_A: Tensor) -> Tensor:
    """False where a token's probability has already moved by more than delta in the direction it is pushed."""
    too_far = ((advantage_A > 0) & (change_A > DPPO_DELTA)) | ((advantage_A < 0) & (change_A < -DPPO_DELTA))
    return ~too_far


def guard_mask(actions: Actions) -> Tensor:
    """[n] False for sequences on which sampler and trainer disagree too much to trust their ratios."""
    log_ratio_A = actions.log_ratio_A.detach()
    ratio_n = actions.mean_per_row(log_ratio_A).exp()
    ratio_A = log_ratio_A.exp()
    outlier_A = (ratio_A < TOKEN_RATIO_RANGE[0]) | (ratio_A > TOKEN_RATIO_RANGE[1])
    sane_n = actions.mean_per_row(outlier_A.float()) == 0
    return sane_n & (ratio_n >= MEAN_RATIO_RANGE[0]) & (ratio_n <= MEAN_RATIO_RANGE[1])


def _clipped(actions: Actions, low: float, high: float) -> Tensor:
    ratio_A = actions.log_ratio_A.exp()
    clipped_A = ratio_A.clamp(1 - low, 1 + high)
    return torch.minimum(ratio_A * actions.advantage_A, clipped_A * actions.advantage_A)
