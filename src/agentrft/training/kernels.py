"""Compiled kernels of the trainer: the output layer's, which never store logits as fp32, and attention's softmax.

The log-sum-exp of the output layer runs over blocks: its sums are relative to the largest logit so far.

Shapes: A action tokens, W tokens of a block of the vocabulary; K key-value heads, S queries, R query heads per
key-value head, T keys.
"""

import numpy as np

from agentrft.modeling.floats import cast, exp, kernel, load


@kernel
def absorb(logits_AW, targets_A, peak_A, mass_A, dot_A, chosen_A):  # type: ignore[no-untyped-def]
    """Take a block into the sums of each row.

    `mass` is the sum of e^(logit - peak), `dot` that of (logit - peak) e^(logit - peak). `targets` are columns of this
    block, or outside of it; `chosen` takes the logit of those inside.
    """
    rows, width = logits_AW.shape
    for a in range(rows):
        peak = peak_A[a]
        for w in range(width):
            peak = max(peak, load(logits_AW[a, w]))
        down = peak_A[a] - peak
        shrink = exp(down)
        mass, dot = shrink * mass_A[a], shrink * (dot_A[a] + down * mass_A[a])
        for w in range(width):
            distance = load(logits_AW[a, w]) - peak
            weight = exp(distance)
            mass += weight
            dot += distance * weight
        peak_A[a], mass_A[a], dot_A[a] = peak, mass, dot
        if 0 <= targets_A[a] < width:
            chosen_A[a] = load(logits_AW[a, targets_A[a]])


@kernel
def logit_gradients(logits_AW, targets_A, norm_A, grad_A):  # type: ignore[no-untyped-def]
    """Replace logits by grad * (1 at the target - e^(logit - norm))."""
    rows, width = logits_AW.shape
    for a in range(rows):
        norm, grad = norm_A[a], grad_A[a]
        target = targets_A[a]
        inside = 0 <= target < width
        at_target = grad - grad * exp(load(logits_AW[a, target]) - norm) if inside else np.float32(0)
        for w in range(width):
            logits_AW[a, w] = cast(-grad * exp(load(logits_AW[a, w]) - norm), logits_AW[a, w])
        if inside:
            logits_AW[a, target] = cast(at_target, logits_AW[a, target])


@kernel
def masked_softmax(scores_KSRT, open_keys, hidden_ST):  # type: ignore[no-untyped-def]
    """In place, over the keys: the first `open_keys` are seen by all, of those behind them some are hidden."""
    keys = scores_KSRT.shape[3]
    row_T = np.empty(keys, dtype=np.float32)
    for k in range(scores_KSRT.shape[0]):
        for s in range(scores_KSRT.shape[1]):
            for r in range(scores_KSRT.shape[2]):
                for t in range(keys):
                    row_T[t] = load(scores_KSRT[k, s, r, t])
                for t in range(open_keys, keys):
                    row_T[t] = np.float32(-np.inf) if hidden_ST[s, t - open_keys] else row_T[t]
                peak = np.float32(-np.inf)
                for t in range(keys):
                    peak = max(peak, row_T[t])
                total = np.float32(0)
                for t in range(keys):
                    weight = exp(row_T[t] - peak) if row_T[t] > np.float32(-np.inf) else np.float32(0)
                    row_T[t] = weight
                    total += weight
                share = np.float32(1) / total
                for t in range(keys):
                    scores_KSRT[k, s, r, t] = cast(row_T[t] * share, scores_KSRT[k, s, r, t])
