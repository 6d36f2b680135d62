"""Attention over a packed tree, forward and backward, with probabilities recomputed instead of kept.

Each row attends with the tokens that it owns to its whole path, gathered into padded batches of rows of similar
length. Plain batched products beat the fused CPU kernel about threefold at these sizes, and writing the backward pass
by hand keeps the memory of one layer to its q, k, v and output.

Shapes: N packed tokens, M those of them behind the stem (tree.py), which are the queries, Q query heads, K key-value heads, R = Q / K, D head size; per batch b rows, S queries, T keys
(root and path behind it), X = S * R.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from agentrft.training.tree import Row, Tree

MAX_SCORES = 600_000  # rows x queries x keys of one padded batch, per head
QUERIES = 128  # tokens of a row that attend together


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """Rows of similar length, padded to one another. Padding repeats index 0 and is masked or dropped."""

    queries_bS: Tensor  # packed indices, counted from the end of the stem
    valid_bS: Tensor  # bool: not padding
    keys_bT: Tensor  # packed indices of the path behind the root
    open: int  # the first `open` keys are seen by every query: no mask
    mask_bST: Tensor  # over the keys behind those: 0 or -inf


@dataclass(frozen=True, slots=True, kw_only=True)
class AttentionPlan:
    """How the tokens of a tree attend; the same in every layer."""

    root: int
    buckets: tuple[Bucket, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Segment:
    """Consecutive packed tokens and the path that the last of them has behind the root."""

    first: int  # packed index of the first query, counted from the end of the stem
    start: int  # its position in the sequence
    length: int
    path: tuple[int, ...]  # packed indices behind the root, up to the last query


def plan_attention(tree: Tree, dtype: torch.dtype, device: torch.device) -> AttentionPlan:
    """Sort the rows' own tokens into padded batches."""
    segments = [piece for row in tree.rows for piece in _cut(_segment(tree, row), tree.root)]
    segments.sort(key=lambda segment: (segment.length, len(segment.path)))
    root = _Segment(first=0, start=tree.stem, length=tree.root - tree.stem, path=())
    buckets = [_bucket([root], tree.root, dtype, device)] if root.length else []
    batch: list[_Segment] = []
    for segment in segments:
        keys = tree.root + max(len(other.path) for other in [*batch, segment])
        uneven = batch and segment.length > 2 * batch[0].length + 32
        if batch and (uneven or (len(batch) + 1) * segment.length * keys > MAX_SCORES):
            buckets.append(_bucket(batch, tree.root, dtype, device))
            batch = []
        batch.append(segment)
    if batch:
        buckets.append(_bucket(batch, tree.root, dtype, device))
    return AttentionPlan(root=tree.root, buckets=tuple(buckets))


def _segment(tree: Tree, row: Row) -> _Segment:
    start = max(row.owned, tree.root)
    length = len(row.path) - start
    first = row.path[start] - tree.stem if length else 0
    return _Segment(first=first, start=start, length=length, path=row.path[tree.root :])


def _cut(segment: _Segment, root: int) -> list[_Segment]:
    """Pieces of at most QUERIES tokens, each with the keys up to its end: most masked scores are never computed."""
    pieces = []
    for offset in range(0, segment.length, QUERIES):
        length = min(QUERIES, segment.length - offset)
        end = segment.start + offset + length - root
        pieces.append(
            _Segment(
                first=segment.first + offset,
                start=segment.start + offset,
                length=length,
                path=segment.path[:end],
            )
        )
    return pieces


def _bucket(batch: list[_Segment], root: int, dtype: torch.dtype, device: torch.device) -> Bucket:
    queries = max(segment.length for segment in batch)
    keys = max(len(segment.path) for segment in batch)
    first_b1 = torch.tensor([[segment.first] for segment in batch], device=device)
    length_b1 = torch.tensor([[segment.length] for segment in batch], device=device)
    start_b1 = torch.tensor([[segment.start] for segment in batch], device=device)
    steps_S = torch.arange(queries, device=device)
    valid_bS = steps_S < length_b1
    paths = [list(segment.path) + [0] * (keys - len(segment.path)) for segment in batch]
    # A padding query sees everything, so that its softmax is finite; its result is dropped.
    position_bS = torch.where(valid_bS, start_b1 + steps_S, root + keys)
    visible = min(segment.start for segment in batch)
    hidden = torch.arange(visible, root + keys, device=device) > position_bS[:, :, None]
    mask = torch.zeros(hidden.shape, dtype=dtype, device=device).masked_fill_(hidden, float("-inf"))
    return Bucket(
        queries_bS=torch.where(valid_bS, first_b1 + steps_S, 0),
        valid_bS=valid_bS,
        keys_bT=torch.tensor(paths, dtype=torch.long, device=device).view(len(batch), keys),
        open=visible,
        mask_bST=mask,
    )


class TreeAttention(torch.autograd.Function):
    """(q [M,Q,D] already scaled, k [N,K,D], v [N,K,D], plan) -> [M, Q*D]."""

    @staticmethod
    def forward(ctx, q_MQD: Tensor, k_NKD: Tensor, v_NKD: Tensor, plan: AttentionPlan) -> Tensor:  # type: ignore[no-untyped-def]
        ctx.save_for_backward(q_MQD, k_NKD, v_NKD)
        ctx.plan = plan
        out_MX = torch.empty(q_MQD.shape[0], q_MQD.shape[1] * q_MQD.shape[2], dtype=q_MQD.dtype, device=q_MQD.device)
        for bucket in plan.buckets:
            work = _Work(q_MQD, k_NKD, v_NKD, bucket, plan.root)
            out_bSX = work.output()
            out_MX[bucket.queries_bS[bucket.valid_bS]] = out_bSX[bucket.valid_bS]
        return out_MX

    @staticmethod
    def backward(ctx, grad_MX: Tensor):  # type: ignore[no-untyped-def]
        q_MQD, k_NKD, v_NKD = ctx.saved_tensors
        plan: AttentionPlan = ctx.plan
        dq, dk, dv = torch.empty_like(q_MQD), *(torch.zeros(x.shape, device=x.device) for x in (k_NKD, v_NKD))
        for bucket in plan.buckets:
            work = _Work(q_MQD, k_NKD, v_NKD, bucket, plan.root)
            work.backward(grad_MX, dq, dk, dv)
        return dq, dk.to(k_NKD.dtype), dv.to(v_NKD.dtype), None


class _Work:
    """One padded batch: gathered operands and the probabilities."""

    def __init__(self, q_MQD: Tensor, k_NKD: Tensor, v_NKD: Tensor, bucket: Bucket, root: int) -> None:
        self.bucket, self.root = bucket, root
        self.rows, self.queries = bucket.queries_bS.shape
        self.heads, self.size = k_NKD.shape[1], k_NKD.shape[2]
        self.ratio = q_MQD.shape[1] // self.heads
        self.q_bKXD = self._fold(q_MQD[bucket.queries_bS])
        self.k_bKTD, self.v_bKTD = self._gather(k_NKD), self._gather(v_NKD)
        scores = self.q_bKXD @ self.k_bKTD.transpose(2, 3)
        by_query = scores.view(self.rows, self.heads, self.queries, self.ratio, -1)
        by_query[..., bucket.open :] += bucket.mask_bST[:, None, :, None]
        self.weights_bKXT = torch.softmax(scores, dim=-1)

    def output(self) -> Tensor:
        """[b, S, Q*D]."""
        return self._unfold(self.weights_bKXT @ self.v_bKTD)

    def backward(self, grad_MX: Tensor, dq: Tensor, dk: Tensor, dv: Tensor) -> None:
        """Adds this batch's part of the gradients; `dk` and `dv` are fp32 sums."""
        bucket = self.bucket
        grad = grad_MX[bucket.queries_bS].masked_fill_(~bucket.valid_bS[..., None], 0.0)
        grad_bKXD = self._fold(grad.view(self.rows, self.queries, self.heads * self.ratio, self.size))
        d_weights = grad_bKXD @ self.v_bKTD.transpose(2, 3)
        d_scores = torch._softmax_backward_data(d_weights, self.weights_bKXT, -1, d_weights.dtype)
        dq_bSQD = self._unfold(d_scores @ self.k_bKTD).view(self.rows, self.queries, -1, self.size)
        dq[bucket.queries_bS[bucket.valid_bS]] = dq_bSQD[bucket.valid_bS]
        self._scatter(dk, d_scores.transpose(2, 3) @ self.q_bKXD)
        self._scatter(dv, self.weights_bKXT.transpose(2, 3) @ grad_bKXD)

    def _gather(self, x_NKD: Tensor) -> Tensor:
        """Root and own path of each row: [b, K, P + T, D]."""
        root = x_NKD[: self.root].expand(self.rows, -1, -1, -1)
        return torch.cat([root, x_NKD[self.bucket.keys_bT]], dim=1).transpose(1, 2).contiguous()

    def _scatter(self, target: Tensor, x_bKTD: Tensor) -> None:
        """The reverse of `_gather`, added up in fp32."""
        target[: self.root] += x_bKTD[:, :, : self.root].sum(dim=0, dtype=torch.float32).transpose(0, 1)
        own = x_bKTD[:, :, self.root :].transpose(1, 2).flatten(0, 1)
        target.index_add_(0, self.bucket.keys_bT.flatten(), own.to(target.dtype))

    def _fold(self, x_bSQD: Tensor) -> Tensor:
        """[b, S, K*R, D] -> [b, K, S*R, D]."""
        x = x_bSQD.view(self.rows, self.queries, self.heads, self.ratio, self.size).transpose(1, 2)
        return x.reshape(self.rows, self.heads, self.queries * self.ratio, self.size)

    def _unfold(self, x_bKXD: Tensor) -> Tensor:
        x = x_bKXD.view(self.rows, self.heads, self.queries, self.ratio * self.size).transpose(1, 2)
        return x.reshape(self.rows, self.queries, -1)
