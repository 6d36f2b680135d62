"""Keys and values of live sessions, and attention over them.

A shard of sessions shares one root: the tokens that all their prompts begin with (system prompt and tools), computed
and stored once, attended to with one matrix product for all sessions. Behind the root each session has a slot of its
own, T tokens long: as many as the longest session has, or had the time before. How own values are laid out in memory
depends on the processor (products.py).

Sizes are rounded up, as every new shape of a product costs oneDNN milliseconds and about a megabyte to prepare.

Shapes: S slots, B slots in a batch, n rows of a batch and N the same with padding, K key-value heads, R query heads per
key-value head, D head size, T own positions, P root positions, C tokens of one span.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from agentrft.sampling.model import SamplerModel
from agentrft.sampling.products import few_rows, new_values
from agentrft.sampling.softmax import weigh

GROW_TOKENS = 64
SPAN_TOKENS = 32  # spans attend in multiples of this
FEW_ROWS = (1, 2, 4, 8, 16, 24, 32, 48, 64, 96, 128)


def padded(rows: int) -> int:
    """A number of rows rounded up to one of few."""
    return next((few for few in FEW_ROWS if rows <= few), -(-rows // 64) * 64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Root:
    """Shared first tokens of a shard's sessions. Lists are by layer; keys are scaled by 1 / sqrt(D), as all here."""

    ids: tuple[int, ...]
    keys_KPD: list[Tensor]
    values_KPD: list[Tensor]


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanPlan:
    """Tokens of one slot that are processed together: all but its last pending one."""

    slot: int
    start: int  # own position of its first token
    length: int
    offset: int  # of its first row in the packed batch
    rooted_C: Tensor  # whether the slot stands on the root, for each token; with padding, as is the next
    lengths_C: Tensor  # own positions that each token sees, itself included


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchPlan:
    """One packed forward pass: a row for each slot that samples, the rows of the spans, and padding."""

    slots_B: Tensor  # slot of each sampling row, ascending
    row_slots_n: Tensor  # without padding
    row_positions_n: Tensor  # own position that each row writes
    rows: int  # with padding
    spans: tuple[SpanPlan, ...]
    lengths_S: Tensor  # own positions that each of the first slots sees, 0 where none samples
    rooted_S: Tensor  # whether it stands on the root


def plan_span(*, slot: int, start: int, length: int, offset: int, rooted: bool, device: torch.device) -> SpanPlan:
    """A span with its padding: the padding's tokens see what a next token would, and nobody reads them."""
    rows = -(-length // SPAN_TOKENS) * SPAN_TOKENS
    return SpanPlan(
        slot=slot,
        start=start,
        length=length,
        offset=offset,
        rooted_C=torch.full((rows,), rooted, device=device),
        lengths_C=torch.arange(start + 1, start + 1 + rows, device=device).clamp_max_(start + length),
    )


class SlotCache:
    """Storage for the sessions of one shard. Not thread-safe: its shard is its only user."""

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self.room = 0  # slots that there is memory for
        self.capacity = 0  # own tokens of each
        self.keys_LSKTD = torch.empty(0)
        self.values_LSKTD = torch.empty(0)
        self.root: Root | None = None
        self._longest = 0  # that was asked for since everything was last cleared
        self._usual = 0  # the same of the time before: the next sessions will need about as much

    def reserve(self, slots: int, length: int, *, like: SamplerModel) -> None:
        """Make room for `length` own tokens in each of the first `slots`; what is stored stays.

        All layers are one piece of memory, large enough to go back to the system when it is outgrown.
        """
        rounded = -(-length // GROW_TOKENS) * GROW_TOKENS
        self._longest = max(self._longest, rounded)
        if slots <= self.room and length <= self.capacity:
            return
        had, old = self.room, self.capacity
        room, new = max(had, min(padded(slots), self.slots)), max(old, rounded, self._usual)
        c, start = like.config, like.embedding_VH
        # Zeros: what is masked must be finite.
        keys_LSKTD = start.new_zeros(c.layers, room, c.kv_heads, new, c.head_dim)
        if old:
            keys_LSKTD[:, :had, :, :old] = self.keys_LSKTD
        self.keys_LSKTD = keys_LSKTD
        values_LSKTD = new_values(start, (c.layers, room, c.kv_heads, new, c.head_dim))
        if old:
            values_LSKTD[:, :had, :, :old] = self.values_LSKTD
        self.values_LSKTD = values_LSKTD
        self.room, self.capacity = room, new

    def clear(self) -> None:
        """Forget every slot and give the memory back. The root stays."""
        self._usual, self._longest, self.capacity, self.room = self._longest, 0, 0, 0
        self.keys_LSKTD, self.values_LSKTD = torch.empty(0), torch.empty(0)

    def copy(self, source: int, target: int, start: int, stop: int) -> None:
        """Own positions [start, stop) of one slot to another."""
        if not self.capacity:
            return
        self.keys_LSKTD[:, target, :, start:stop] = self.keys_LSKTD[:, source, :, start:stop]
        self.values_LSKTD[:, target, :, start:stop] = self.values_LSKTD[:, source, :, start:stop]

    def attend(self, layer: int, plan: BatchPlan, q_NQD: Tensor, k_NKD: Tensor, v_NKD: Tensor) -> Tensor:
        """Write the rows' keys and values, then let each row attend to its root and its own past: [N, Q*D]."""
        keys, values, given = self.keys_LSKTD[layer], self.values_LSKTD[layer], len(plan.row_slots_n)
        keys[plan.row_slots_n, :, plan.row_positions_n] = k_NKD[:given] * k_NKD.shape[2] ** -0.5
        values[plan.row_slots_n, :, plan.row_positions_n] = v_NKD[:given]
        batch = plan.slots_B.shape[0]
        parts = [self._attend_last(layer, plan, q_NQD[:batch])] if batch else []
        parts += [self._attend_span(layer, span, q_NQD[span.offset : span.offset + span.length]) for span in plan.spans]
        if plan.rows > given:
            parts.append(q_NQD.new_zeros(plan.rows - given, q_NQD.shape[1] * q_NQD.shape[2]))
        return torch.cat(parts) if len(parts) > 1 else parts[0]

    def _attend_last(self, layer: int, plan: BatchPlan, q_BQD: Tensor) -> Tensor:
        """The newest token of each sampling slot, all at once."""
        extent, heads, ratio, size = len(plan.lengths_S), *self._sizes(q_BQD)
        dense = extent == len(q_BQD)
        q_SQD = q_BQD if dense else q_BQD.new_zeros(extent, *q_BQD.shape[1:]).index_copy_(0, plan.slots_B, q_BQD)
        q_SKRD = q_SQD.view(extent, heads, ratio, size)
        keys_XTD, values_XTD = (
            own[layer][:extent].view(extent * heads, self.capacity, size)
            for own in (self.keys_LSKTD, self.values_LSKTD)
        )
        own_XRT = few_rows(q_SKRD.view(extent * heads, ratio, size), keys_XTD.transpose(1, 2))
        own_KSRT = own_XRT.view(extent, heads, ratio, self.capacity).transpose(0, 1)
        root_KSRP = self._root_scores(layer, q_SKRD.transpose(0, 1))
        weigh(root_KSRP, own_KSRT, plan.lengths_S, plan.rooted_S)
        out = few_rows(own_XRT, values_XTD).view(extent, heads, ratio, size)
        if self.root is not None:
            out += self._root_values(layer, root_KSRP).transpose(0, 1)
        out_SX = out.view(extent, -1)
        return out_SX if dense else out_SX[plan.slots_B]

    def _attend_span(self, layer: int, span: SpanPlan, q_CQD: Tensor) -> Tensor:
        """Several tokens of one slot, causal among themselves."""
        heads, ratio, size = self._sizes(q_CQD)
        length, stop = len(span.lengths_C), -(-(span.start + span.length) // GROW_TOKENS) * GROW_TOKENS
        q_CQD = F.pad(q_CQD, (0, 0, 0, 0, 0, length - span.length))
        q_KCRD = q_CQD.view(length, heads, ratio, size).transpose(0, 1)
        keys_KTD, values_KTD = (own[layer][span.slot, :, :stop] for own in (self.keys_LSKTD, self.values_LSKTD))
        own_KXT = torch.bmm(q_KCRD.reshape(heads, length * ratio, size), keys_KTD.transpose(1, 2))
        root_KCRP = self._root_scores(layer, q_KCRD)
        weigh(root_KCRP, own_KXT.view(heads, length, ratio, stop), span.lengths_C, span.rooted_C)
        out = torch.bmm(own_KXT, values_KTD).view(heads, length, ratio, size)
        if self.root is not None:
            out += self._root_values(layer, root_KCRP)
        return out.transpose(0, 1).reshape(length, -1)[: span.length]

    def _root_scores(self, layer: int, q_KSRD: Tensor) -> Tensor:
        """Of queries against the root's keys: [K, S, R, P]; P is 0 where there is no root."""
        heads, queries, ratio, size = q_KSRD.shape
        if self.root is None:
            return q_KSRD.new_empty(heads, queries, ratio, 0)
        q_KXD = q_KSRD.reshape(heads, queries * ratio, size)
        return torch.bmm(q_KXD, self.root.keys_KPD[layer].transpose(1, 2)).view(heads, queries, ratio, -1)

    def _root_values(self, layer: int, weights_KSRP: Tensor) -> Tensor:
        """What weights over the root take from it: [K, S, R, D]."""
        assert self.root is not None
        weights_KXP = weights_KSRP.flatten(1, 2)
        return torch.bmm(weights_KXP, self.root.values_KPD[layer]).view(*weights_KSRP.shape[:3], -1)

    def _sizes(self, q_NQD: Tensor) -> tuple[int, int, int]:
        """K, R and D."""
        heads = self.keys_LSKTD.shape[2]
        return heads, q_NQD.shape[1] // heads, q_NQD.shape[2]


def causal_attention(q_NQD: Tensor, k_NKD: Tensor, v_NKD: Tensor) -> Tensor:
    """One sequence attending to itself: [N, Q*D]. For roots, whose keys come unscaled."""
    heads, ratio = k_NKD.shape[1], q_NQD.shape[1] // k_NKD.shape[1]
    q, k, v = (x.transpose(0, 1)[None] for x in (q_NQD, k_NKD, v_NKD))
    k, v = (x.repeat_interleave(ratio, dim=1) for x in (k, v))
    out = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
    return out[0].transpose(0, 1).reshape(q_NQD.shape[0], heads * ratio * q_NQD.shape[2])
