"""Attention over a packed tree, forward and backward, with probabilities recomputed instead of kept.

Tokens attend in blocks of neighbours in the packed order, each padded to the same size. A block's keys are its tokens'
paths, which are a few ranges of the packed order; a mask tells the rows of a block apart. Plain products of a size that
stays in a core's cache beat the fused CPU kernel, whose backward pass is slow, and recomputing the probabilities keeps
the memory of one layer to its q, k, v and output.

Sizes are rounded up, as every new shape of a product costs oneDNN milliseconds and about a megabyte to prepare.

Shapes: N packed tokens, M those of them behind the stem (tree.py) and the padding, which are the queries, Q query
heads, K key-value heads, R = Q / K, D head size; per block S queries, X = S * R, T keys.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from agentrft.modeling.floats import array, has_kernels
from agentrft.modeling.prefix import common_prefix
from agentrft.training import kernels
from agentrft.training.tree import Tree

QUERIES = 128  # tokens of a block: with keys of a few hundred, the scores of three heads take about a megabyte
TOKENS = 64  # a tree has a multiple of this many: its last block may be half a one
KEYS = 64  # a block has a multiple of this many


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Neighbouring tokens that attend together: QUERIES of them, padding included, or fewer at the end of a tree."""

    first: int  # packed index of the first query, counted from the end of the stem
    ranges: tuple[tuple[int, int], ...]  # of packed indices: the keys
    open: int  # the first `open` keys are seen by every query: no mask
    hidden_ST: Tensor  # which of the keys behind those a query must not see


@dataclass(frozen=True, slots=True, kw_only=True)
class _Piece:
    """Consecutive own tokens of one row."""

    path: tuple[int, ...]  # packed indices from the beginning of the sequence to the last query
    count: int  # queries

    @property
    def before(self) -> tuple[int, ...]:
        """What all of its queries see."""
        return self.path[: len(self.path) - self.count]


def padded(tokens: int) -> int:
    """Tokens with the padding that `plan_attention` expects behind them."""
    return -(-tokens // TOKENS) * TOKENS


def plan_attention(tree: Tree, device: torch.device) -> tuple[Block, ...]:
    """How the tokens of a tree attend; the same in every layer."""
    rows = [_Piece(path=tuple(range(tree.root)), count=tree.root - tree.stem)]
    rows += [_Piece(path=row.path, count=len(row.path) - max(row.owned, tree.root)) for row in tree.rows]
    batches = _batches(rows)
    return tuple(_block(batch, number * QUERIES, device) for number, batch in enumerate(batches))


def _batches(rows: Sequence[_Piece]) -> Iterator[list[_Piece]]:
    """The rows cut where a block is full."""
    batch: list[_Piece] = []
    room = QUERIES
    for row in rows:
        left = row.count
        while left:
            taken = min(left, room)
            left, room = left - taken, room - taken
            batch.append(_Piece(path=row.path[: len(row.path) - left], count=taken))
            if not room:
                yield batch
                batch, room = [], QUERIES
    if batch:
        yield batch


def _block(batch: Sequence[_Piece], first: int, device: torch.device) -> Block:
    common = batch[0].before
    for piece in batch[1:]:
        common = common[: common_prefix(common, piece.before)]
    rest = sorted({index for piece in batch for index in piece.path[len(common) :]})
    padding = -(len(common) + len(rest)) % KEYS
    column = {index: place for place, index in enumerate(rest)}
    # Padding queries see everything, so that their probabilities are finite; nobody reads them.
    hidden_ST = torch.zeros(padded(sum(piece.count for piece in batch)), len(rest) + padding, dtype=torch.bool)
    row = 0
    for piece in batch:
        columns = torch.tensor([column[index] for index in piece.path[len(common) :]])
        ends = torch.arange(piece.count)[:, None] + len(piece.before) - len(common)
        hidden_ST[row : row + piece.count] = True
        hidden_ST[row : row + piece.count, columns] = torch.arange(len(columns))[None] > ends
        row += piece.count
    return Block(
        first=first,
        ranges=(*_ranges([*common, *rest]), *([(0, padding)] if padding else [])),
        open=len(common),
        hidden_ST=hidden_ST.to(device),
    )


def _ranges(indices: Sequence[int]) -> tuple[tuple[int, int], ...]:
    """Runs of consecutive numbers as (start, stop)."""
    starts = [i for i, index in enumerate(indices) if i == 0 or index != indices[i - 1] + 1]
    return tuple((indices[a], indices[b - 1] + 1) for a, b in zip(starts, [*starts[1:], len(indices)], strict=True))


class TreeAttention(torch.autograd.Function):
    """(q [M,Q,D], k [N,K,D], v [N,K,D], blocks) -> [M, Q*D], with scores q k / sqrt(D)."""

    @staticmethod
    def forward(ctx, q_MQD: Tensor, k_NKD: Tensor, v_NKD: Tensor, blocks: tuple[Block, ...]) -> Tensor:  # type: ignore[no-untyped-def]
        ctx.save_for_backward(q_MQD, k_NKD, v_NKD)
        ctx.blocks = blocks
        operands = _Operands(q_MQD, k_NKD, v_NKD)
        out_KMRD = torch.empty_like(operands.q_KMRD)
        for block in blocks:
            _, v_KTD, weights_KXT = operands.weigh(block)
            _folded(out_KMRD, block).copy_(weights_KXT @ v_KTD)
        return operands.by_token(out_KMRD).flatten(1)

    @staticmethod
    def backward(ctx, grad_MX: Tensor):  # type: ignore[no-untyped-def]
        q_MQD, k_NKD, v_NKD = ctx.saved_tensors
        operands = _Operands(q_MQD, k_NKD, v_NKD)
        grad_KMRD = operands.by_head(grad_MX.view_as(q_MQD))
        dq_KMRD = torch.empty_like(operands.q_KMRD)
        dk_KND, dv_KND = (torch.zeros(operands.k_KND.shape, device=q_MQD.device) for _ in range(2))
        for block in ctx.blocks:
            k_KTD, v_KTD, weights_KXT = operands.weigh(block)
            grad_KXD = _folded(grad_KMRD, block)
            d_weights_KXT = grad_KXD @ v_KTD.transpose(1, 2)
            d_scores_KXT = torch._softmax_backward_data(d_weights_KXT, weights_KXT, -1, d_weights_KXT.dtype)
            _folded(dq_KMRD, block).copy_(d_scores_KXT @ k_KTD)
            _add(dk_KND, d_scores_KXT.transpose(1, 2) @ _folded(operands.q_KMRD, block), block)
            _add(dv_KND, weights_KXT.transpose(1, 2) @ grad_KXD, block)
        dk_KND.mul_(operands.scale)
        d_k, d_v = (total.transpose(0, 1).to(k_NKD.dtype) for total in (dk_KND, dv_KND))
        return operands.by_token(dq_KMRD), d_k, d_v, None


class _Operands:
    """q, k and v with heads first, the keys scaled."""

    def __init__(self, q_MQD: Tensor, k_NKD: Tensor, v_NKD: Tensor) -> None:
        self.heads, self.scale = k_NKD.shape[1], q_MQD.shape[2] ** -0.5
        self.q_KMRD = self.by_head(q_MQD)
        self.k_KND = (k_NKD.transpose(0, 1) * self.scale).contiguous()
        self.v_KND = v_NKD.transpose(0, 1).contiguous()

    def by_head(self, x_MQD: Tensor) -> Tensor:
        return x_MQD.view(len(x_MQD), self.heads, -1, x_MQD.shape[2]).transpose(0, 1).contiguous()

    def by_token(self, x_KMRD: Tensor) -> Tensor:
        """The reverse of `by_head`."""
        return x_KMRD.transpose(0, 1).flatten(1, 2)

    def weigh(self, block: Block) -> tuple[Tensor, Tensor, Tensor]:
        """Keys, values and attention probabilities of a block."""
        k_KTD, v_KTD = (
            torch.cat([x_KND[:, start:stop] for start, stop in block.ranges], dim=1)
            for x_KND in (self.k_KND, self.v_KND)
        )
        scores_KXT = _folded(self.q_KMRD, block) @ k_KTD.transpose(1, 2)
        scores_KSRT = scores_KXT.view(self.heads, len(block.hidden_ST), -1, scores_KXT.shape[2])
        if has_kernels(scores_KSRT):
            kernels.masked_softmax(array(scores_KSRT), block.open, array(block.hidden_ST))
            return k_KTD, v_KTD, scores_KXT
        scores_KSRT[..., block.open :].masked_fill_(block.hidden_ST[:, None], float("-inf"))
        return k_KTD, v_KTD, torch.softmax(scores_KXT, dim=-1)


def _folded(x_KMRD: Tensor, block: Block) -> Tensor:
    """A block's queries, those of the heads that share keys side by side: a view [K, X, D]."""
    return x_KMRD[:, block.first : block.first + QUERIES].flatten(1, 2)


def _add(total_KND: Tensor, x_KTD: Tensor, block: Block) -> None:
    """Add what a block found for its keys, in fp32."""
    at = 0
    for start, stop in block.ranges:
        total_KND[:, start:stop] += x_KTD[:, at : at + stop - start]
        at += stop - start
