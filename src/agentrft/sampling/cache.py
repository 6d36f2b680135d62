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
    length: int
    offset: int  # of its first row in the packed batch
    rooted: bool
    mask_C1T: Tensor  # from SlotCache.span_mask: which own positions each token sees


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchPlan:
    """One packed forward pass: a row for each slot that samples, the rows of the spans, and padding."""

    slots_B: Tensor  # slot of each sampling row, ascending
    row_slots_n: Tensor  # without padding
    row_positions_n: Tensor  # own position that each row writes
    rows: int  # with padding
    spans: tuple[SpanPlan, ...]
    mask_S11X: Tensor  # from SlotCache.mask: which of root and own positions each slot sees


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

    def mask(self, lengths_S: Tensor, rooted_S: Tensor) -> Tensor:
        """0 where a slot may look, -inf elsewhere: [S, 1, 1, P + T].

        `lengths_S` counts the own tokens visible to each slot of the range, at least 1; `rooted_S` says whether it
        stands on the root.
        """
        hidden = torch.arange(self.capacity, device=self.keys_LSKTD.device)[None] >= lengths_S[:, None]
        if self.root is not None:
            prefix = (~rooted_S)[:, None].expand(-1, len(self.root.ids))
            hidden = torch.cat([prefix, hidden], dim=1)
        mask = torch.zeros(hidden.shape, dtype=self.keys_LSKTD.dtype, device=self.keys_LSKTD.device)
        return mask.masked_fill_(hidden, float("-inf"))[:, None, None]

    def span_mask(self, start: int, length: int) -> Tensor:
        """0 where a token of a span may look, -inf elsewhere: [C, 1, T], both rounded up. The same in every layer."""
        stop = -(-(start + length) // GROW_TOKENS) * GROW_TOKENS
        rows = -(-length // SPAN_TOKENS) * SPAN_TOKENS
        late = torch.ones(rows, stop, dtype=torch.bool, device=self.keys_LSKTD.device).triu_(start + 1)
        mask = torch.zeros(late.shape, dtype=self.keys_LSKTD.dtype, device=self.keys_LSKTD.device)
        return mask.masked_fill_(late, float("-inf"))[:, None]

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
        extent, heads, ratio, size = plan.mask_S11X.shape[0], *self._sizes(q_BQD)
        dense = extent == q_BQD.shape[0]
        q_SQD = q_BQD if dense else q_BQD.new_zeros(extent, *q_BQD.shape[1:]).index_copy_(0, plan.slots_B, q_BQD)
        q_SKRD = q_SQD.view(extent, heads, ratio, size)
        q_XRD = q_SKRD.view(extent * heads, ratio, size)
        keys_XTD, values_XTD = (
            own[layer][:extent].view(extent * heads, self.capacity, size)
            for own in (self.keys_LSKTD, self.values_LSKTD)
        )
        scores = few_rows(q_XRD, keys_XTD.transpose(1, 2)).view(extent, heads, ratio, self.capacity)
        root = self.root
        if root is not None:
            q_KXD = q_SKRD.transpose(0, 1).reshape(heads, extent * ratio, size)
            rooted = torch.bmm(q_KXD, root.keys_KPD[layer].transpose(1, 2))
            scores = torch.cat([rooted.view(heads, extent, ratio, -1).transpose(0, 1), scores], dim=-1)
        weights = torch.softmax(scores + plan.mask_S11X, dim=-1)
        prefix = weights.shape[-1] - self.capacity
        own_XRT = weights[..., prefix:].reshape(extent * heads, ratio, self.capacity)
        out = few_rows(own_XRT, values_XTD).reshape(extent, heads, ratio, size)
        if root is not None:
            w_KXP = weights[..., :prefix].transpose(0, 1).reshape(heads, extent * ratio, prefix)
            out = out + torch.bmm(w_KXP, root.values_KPD[layer]).view(heads, extent, ratio, size).transpose(0, 1)
        out_SX = out.reshape(extent, heads * ratio * size)
        return out_SX if dense else out_SX[plan.slots_B]

    def _sizes(self, q_NQD: Tensor) -> tuple[int, int, int]:
        """K, R and D."""
        heads = self.keys_LSKTD.shape[2]
        return heads, q_NQD.shape[1] // heads, q_NQD.shape[2]

    def _attend_span(self, layer: int, span: SpanPlan, q_CQD: Tensor) -> Tensor:
        """Several tokens of one slot, causal among themselves."""
        heads, ratio, size = self._sizes(q_CQD)
        length, _, stop = span.mask_C1T.shape
        q_CQD = F.pad(q_CQD, (0, 0, 0, 0, 0, length - span.length))
        q_KXD = q_CQD.view(length, heads, ratio, size).transpose(0, 1).reshape(heads, length * ratio, size)
        scores = torch.bmm(q_KXD, self.keys_LSKTD[layer][span.slot, :, :stop].transpose(1, 2))
        scores = (scores.view(heads, length, ratio, stop) + span.mask_C1T).view(heads, length * ratio, stop)
        root = self.root if span.rooted else None
        if root is not None:
            scores = torch.cat([torch.bmm(q_KXD, root.keys_KPD[layer].transpose(1, 2)), scores], dim=-1)
        weights = torch.softmax(scores, dim=-1)
        prefix = weights.shape[-1] - stop
        out = torch.bmm(weights[..., prefix:], self.values_LSKTD[layer][span.slot, :, :stop])
        if root is not None:
            out = out + torch.bmm(weights[..., :prefix], root.values_KPD[layer])
        return out.view(heads, length, ratio, size).transpose(0, 1).reshape(length, -1)[: span.length]


def causal_attention(q_NQD: Tensor, k_NKD: Tensor, v_NKD: Tensor) -> Tensor:
    """One sequence attending to itself: [N, Q*D]. For roots, whose keys come unscaled."""
    heads, ratio = k_NKD.shape[1], q_NQD.shape[1] // k_NKD.shape[1]
    q, k, v = (x.transpose(0, 1)[None] for x in (q_NQD, k_NKD, v_NKD))
    k, v = (x.repeat_interleave(ratio, dim=1) for x in (k, v))
    out = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
    return out[0].transpose(0, 1).reshape(q_NQD.shape[0], heads * ratio * q_NQD.shape[2])
