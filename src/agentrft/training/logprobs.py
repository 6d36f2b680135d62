"""Log-probabilities of chosen tokens without keeping logits: a chunk at a time, computed anew for the backward pass.

Shapes: A action tokens, H hidden size, V vocabulary, C tokens of a chunk.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

CHUNK = 128


class SelectedLogps(torch.autograd.Function):
    """(states [A,H], head [V,H], targets [A]) -> (log-probabilities [A], entropies [A]), both fp32.

    The entropy, in nats, is a metric: no gradient flows through it.
    """

    @staticmethod
    def forward(ctx, states_AH: Tensor, head_VH: Tensor, targets_A: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[no-untyped-def]
        logps, entropies = [], []
        for states_CH, targets_C in zip(states_AH.split(CHUNK), targets_A.split(CHUNK), strict=True):
            logits_CV = F.linear(states_CH, head_VH).float()
            norm_C = torch.logsumexp(logits_CV, dim=-1)
            logps.append(logits_CV.gather(1, targets_C[:, None])[:, 0] - norm_C)
            weighted_C = torch.linalg.vecdot(torch.exp(logits_CV - norm_C[:, None]), logits_CV)
            entropies.append(norm_C - weighted_C)
        ctx.save_for_backward(states_AH, head_VH, targets_A)
        entropy_A = torch.cat(entropies)
        ctx.mark_non_differentiable(entropy_A)
        return torch.cat(logps), entropy_A

    @staticmethod
    def backward(ctx, grad_A: Tensor, _entropy: Tensor):  # type: ignore[no-untyped-def]
        states_AH, head_VH, targets_A = ctx.saved_tensors
        d_head_VH = torch.zeros(head_VH.shape, device=head_VH.device) if ctx.needs_input_grad[1] else None
        d_states = []
        chunks = zip(states_AH.split(CHUNK), targets_A.split(CHUNK), grad_A.split(CHUNK), strict=True)
        for states_CH, targets_C, grad_C in chunks:
            d_logits_CV = torch.softmax(F.linear(states_CH, head_VH).float(), dim=-1).mul_(-grad_C[:, None])
            d_logits_CV.scatter_add_(1, targets_C[:, None], grad_C[:, None])
            d_logits = d_logits_CV.to(states_AH.dtype)
            d_states.append(d_logits @ head_VH)
            if d_head_VH is not None:
                d_head_VH += d_logits.T @ states_CH
        d_head = None if d_head_VH is None else d_head_VH.to(head_VH.dtype)
        return torch.cat(d_states), d_head, None
