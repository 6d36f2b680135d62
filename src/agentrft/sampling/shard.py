"""Continuous batching on one thread: every session that can go on advances one token per step.

    admit -> share (copy what another session has computed) -> plan -> forward -> draw -> deliver

Tokens that came from outside (a prompt, a tool's reply) ride along in the step's packed batch, a bounded number at a
time, so that a long reply does not hold up the others.

Shapes: B sampling rows, n packed tokens and N the same with padding, H hidden size, V vocabulary.
"""

import time
from collections import deque

import torch
import torch.nn.functional as F
from torch import Tensor

from agentrft.domain.episode import FinishReason
from agentrft.modeling.network import apply_layer
from agentrft.modeling.prefix import common_prefix
from agentrft.sampling.cache import BatchPlan, Root, SlotCache, SpanPlan, causal_attention, padded, plan_span
from agentrft.sampling.draw import draw, restrict_top_p
from agentrft.sampling.model import SamplerModel
from agentrft.sampling.session import Draft, Slot

PREFILL_TOKENS = 1024  # outside tokens processed in one step
SHARE_TOKENS = 8  # a shorter overlap is cheaper to compute than to look up and copy
ROOT_TOKENS = 32  # a shorter common beginning is not worth a root


class Shard:
    """Slots, their cache and the queue for them. Used by one thread only."""

    def __init__(self, model: SamplerModel | None, slots: int) -> None:
        self._model = model
        self.slots = [Slot(index=index) for index in range(slots)]
        self.cache = SlotCache(slots)
        self.queue: deque[Draft] = deque()
        self._by_session: dict[str, Slot] = {}
        self._root_version = -1

    @property
    def model(self) -> SamplerModel:
        """The weights to sample from."""
        if self._model is None:
            raise RuntimeError("a shard was asked to sample before weights were loaded")
        return self._model

    @property
    def busy(self) -> bool:
        return bool(self.queue) or any(slot.draft for slot in self.slots)

    def load(self, model: SamplerModel | None) -> None:
        """Sample from other weights from the next step on. Live sessions keep what they have computed.

        None lets the weights go, while nothing is sampled.
        """
        self._model = model

    def submit(self, draft: Draft) -> None:
        """Begin a turn, at once if its session holds a slot, else when one is free."""
        slot = self._by_session.get(draft.request.session)
        if slot is None:
            self.queue.append(draft)
        else:
            self._begin(slot, draft)

    def cancel(self, draft: Draft) -> None:
        """Stop sampling a turn; nothing is delivered."""
        if draft in self.queue:
            self.queue.remove(draft)
        for slot in self.slots:
            if slot.draft is draft:
                slot.draft, slot.pending = None, []

    def release(self, session: str) -> None:
        """Free the slot of a session that is over."""
        slot = self._by_session.pop(session, None)
        if slot is not None:
            slot.forget()
        if not self._by_session and not self.queue:
            self.cache.clear()

    @torch.inference_mode()
    def step(self) -> None:
        """Advance every session that can go on by one token."""
        self._end_late()
        self._admit()
        self._compact()
        ready = self._share([slot for slot in self.slots if slot.draft])
        if not ready:
            return
        plan, ids_N, sampling = self._plan(ready)
        x_NH = self._forward(plan, ids_N)
        if sampling:
            self._deliver(sampling, *self._draw(x_NH[: padded(len(sampling))], sampling))

    def _end_late(self) -> None:
        """Deliver what has been sampled for turns whose deadline has passed, those still waiting for a slot too."""
        now = time.monotonic()
        live = [slot.draft for slot in self.slots if slot.draft is not None]
        for draft in [draft for draft in (*self.queue, *live) if draft.is_late(now)]:
            self.cancel(draft)
            draft.finish(FinishReason.DEADLINE)

    def _admit(self) -> None:
        free = [slot for slot in self.slots if slot.session is None]
        if not self.queue or not free:
            return
        entering = [self.queue.popleft() for _ in range(min(len(free), len(self.queue)))]
        self._find_root([draft.request.prompt for draft in entering])
        for slot, draft in zip(free, entering, strict=False):
            slot.session, slot.version = draft.request.session, self.model.version
            self._by_session[slot.session] = slot
            root = self.cache.root
            fresh = root is not None and self._root_version == self.model.version
            # The root must leave a token to be processed: its state predicts the next one.
            slot.rooted = root is not None and fresh and draft.request.prompt[:-1][: len(root.ids)] == root.ids
            slot.cached = list(root.ids) if root is not None and slot.rooted else []
            self._begin(slot, draft)
        self.cache.reserve(1 + max(slot.index for slot in self.slots if slot.session), 1, like=self.model)

    def _compact(self) -> None:
        """Move the last sessions into free slots: attention costs as much as the highest slot in use."""
        if self.queue:
            return  # the free slots are about to be taken
        free = [slot for slot in self.slots if slot.session is None]
        taken = [slot for slot in self.slots if slot.session is not None]
        while free and taken and free[0].index < taken[-1].index:
            hole, moved = free.pop(0), taken.pop()
            self.cache.copy(moved.index, hole.index, 0, len(moved.cached) - self._base(moved))
            hole.index, moved.index = moved.index, hole.index
            self.slots[hole.index], self.slots[moved.index] = hole, moved

    def _begin(self, slot: Slot, draft: Draft) -> None:
        prompt = list(draft.request.prompt)
        base = self._base(slot)
        keep = common_prefix(prompt[:-1], slot.cached, start=base if prompt[:base] == slot.cached[:base] else 0)
        if keep < base:  # the session's history was rewritten: start over, without the root
            slot.rooted, keep = False, 0
        slot.cached, slot.pending, slot.draft = slot.cached[:keep], prompt[keep:], draft

    def _base(self, slot: Slot) -> int:
        return len(self.cache.root.ids) if slot.rooted and self.cache.root is not None else 0

    def _find_root(self, prompts: list[tuple[int, ...]]) -> None:
        """Compute a root if the entering prompts begin alike and nobody stands on another one."""
        root = self.cache.root
        if root is not None and any(slot.rooted for slot in self.slots):
            return
        if root is not None and self._root_version == self.model.version and prompts[0][: len(root.ids)] == root.ids:
            return
        length = min(len(prompt) for prompt in prompts) - 1
        for prompt in prompts[1:]:
            length = min(length, common_prefix(prompts[0], prompt))
        self.cache.root = None
        if len(prompts) > 1 and length >= ROOT_TOKENS:
            self.cache.root, self._root_version = self._compute_root(prompts[0][:length]), self.model.version

    def _compute_root(self, ids: tuple[int, ...]) -> Root:
        model, device = self.model, self.model.embedding_VH.device
        root = Root(ids=ids, keys_KPD=[], values_KPD=[])
        scale = model.config.head_dim**-0.5

        def attend(q_NQD: Tensor, k_NKD: Tensor, v_NKD: Tensor) -> Tensor:
            root.keys_KPD.append((k_NKD * scale).transpose(0, 1).contiguous())
            root.values_KPD.append(v_NKD.transpose(0, 1).contiguous())
            return causal_attention(q_NQD, k_NKD, v_NKD)

        rotary = model.rotary(torch.arange(len(ids), device=device))
        x_NH = F.embedding(torch.tensor(ids, device=device), model.embedding_VH)
        for layer in model.layers:
            x_NH = apply_layer(x_NH, layer, model.config, rotary, attend)
        return root

    def _share(self, live: list[Slot]) -> list[Slot]:
        """Copy what another session has computed already; a slot that would repeat a neighbour's work waits a step."""
        ready: list[Slot] = []
        leaders: list[list[int]] = []
        for slot in live:
            if len(slot.pending) > SHARE_TOKENS:
                self._copy_from_neighbour(slot)
            known = slot.known
            if len(slot.pending) > SHARE_TOKENS and slot.version == self.model.version:
                done = len(slot.cached)
                if any(common_prefix(known, other) - done > SHARE_TOKENS for other in leaders):
                    continue
                leaders.append(known)
            ready.append(slot)
        return ready

    def _copy_from_neighbour(self, slot: Slot) -> None:
        known, done = slot.known[:-1], len(slot.cached)
        best, source = done + SHARE_TOKENS, None
        for other in self.slots:
            same = other.rooted == slot.rooted and other.version == slot.version == self.model.version
            if other is slot or not same or len(other.cached) <= best or other.cached[:done] != known[:done]:
                continue
            length = common_prefix(known, other.cached, start=done)
            if length > best:
                best, source = length, other
        if source is not None:
            base = self._base(slot)
            self.cache.copy(source.index, slot.index, done - base, best - base)
            slot.cached, slot.pending = slot.cached + slot.pending[: best - done], slot.pending[best - done :]

    def _plan(self, ready: list[Slot]) -> tuple[BatchPlan, Tensor, list[Slot]]:
        """Rows of the packed batch: the newest token of each slot that samples, then what comes before it."""
        sampling: list[Slot] = []
        spans: list[tuple[Slot, list[int]]] = []
        budget = PREFILL_TOKENS
        for slot in ready:
            early = slot.pending[:-1][:budget]
            budget -= len(early)
            if early:
                spans.append((slot, early))
            if len(early) == len(slot.pending) - 1:
                sampling.append(slot)
        last = [(slot, slot.pending[-1], len(slot.known) - 1 - self._base(slot)) for slot in sampling]
        rows = [(slot.index, position, token) for slot, token, position in last]
        plans: list[SpanPlan] = []
        device = self.model.embedding_VH.device
        for slot, early in spans:
            start = len(slot.cached) - self._base(slot)
            plans.append(
                plan_span(
                    slot=slot.index,
                    start=start,
                    length=len(early),
                    offset=len(rows),
                    rooted=slot.rooted,
                    device=device,
                )
            )
            rows += [(slot.index, start + i, token) for i, token in enumerate(early)]
        indices, positions, ids = (torch.tensor(column, device=device) for column in zip(*rows, strict=True))
        self.cache.reserve(self.cache.room, int(positions.max()) + 1, like=self.model)
        width = padded(len(rows))
        lengths_S, rooted_S = self._visible(sampling)
        plan = BatchPlan(
            slots_B=indices[: len(sampling)],
            row_slots_n=indices,
            row_positions_n=positions,
            rows=width,
            spans=tuple(plans),
            lengths_S=lengths_S,
            rooted_S=rooted_S,
        )
        self._advance(spans, sampling)
        return plan, F.pad(ids, (0, width - len(rows))), sampling

    def _advance(self, spans: list[tuple[Slot, list[int]]], sampling: list[Slot]) -> None:
        for slot, early in spans:
            slot.cached, slot.pending = slot.cached + early, slot.pending[len(early) :]
        for slot in sampling:
            slot.cached.append(slot.pending[0])
            slot.pending = []

    def _visible(self, sampling: list[Slot]) -> tuple[Tensor, Tensor]:
        """Own tokens that each slot sees up to the last that samples, 0 for others, and whether it sees the root."""
        extent = max((slot.index for slot in sampling), default=-1) + 1
        extent = min(padded(extent), self.cache.room) if extent else 0
        lengths, rooted = [0] * extent, [False] * extent
        for slot in sampling:
            lengths[slot.index] = len(slot.known) - self._base(slot)
            rooted[slot.index] = slot.rooted
        device = self.model.embedding_VH.device
        return (
            torch.tensor(lengths, dtype=torch.long, device=device),
            torch.tensor(rooted, dtype=torch.bool, device=device),
        )

    def _forward(self, plan: BatchPlan, ids_N: Tensor) -> Tensor:
        model = self.model
        bases_S = torch.tensor([self._base(slot) for slot in self.slots], device=ids_N.device)
        positions_n = plan.row_positions_n + bases_S[plan.row_slots_n]
        rotary = model.rotary(F.pad(positions_n, (0, plan.rows - len(positions_n))))
        x_NH = F.embedding(ids_N, model.embedding_VH)
        for index, layer in enumerate(model.layers):

            def attend(q_NQD: Tensor, k_NKD: Tensor, v_NKD: Tensor, index: int = index) -> Tensor:
                return self.cache.attend(index, plan, q_NQD, k_NKD, v_NKD)

            x_NH = apply_layer(x_NH, layer, model.config, rotary, attend)
        return x_NH

    def _draw(self, x_NH: Tensor, sampling: list[Slot]) -> tuple[list[int], list[float]]:
        drafts = [slot.draft for slot in sampling if slot.draft is not None]
        settings = [draft.request.sampling for draft in drafts]
        logits_BV = self.model.logits(x_NH)[: len(sampling)]
        greedy_B = torch.tensor([s.temperature == 0.0 for s in settings], device=logits_BV.device)
        if any(s.temperature not in (0.0, 1.0) for s in settings):
            logits_BV /= torch.tensor([s.temperature or 1.0 for s in settings], device=logits_BV.device)[:, None]
        if any(s.top_p < 1.0 for s in settings):
            logits_BV = restrict_top_p(logits_BV, torch.tensor([s.top_p for s in settings], device=logits_BV.device))
        best_B = logits_BV.argmax(dim=-1) if greedy_B.any() else None
        best_logp_B = torch.log_softmax(logits_BV, dim=-1).amax(dim=-1) if greedy_B.any() else None
        # In fp32 the largest numbers below 1 would become 1.
        uniform_B = torch.tensor(
            [draft.source.random() for draft in drafts], dtype=torch.float64, device=logits_BV.device
        )
        ids_B, logps_B = draw(logits_BV, uniform_B)
        if best_B is not None and best_logp_B is not None:
            ids_B, logps_B = torch.where(greedy_B, best_B, ids_B), torch.where(greedy_B, best_logp_B, logps_B)
        return ids_B.tolist(), logps_B.tolist()

    def _deliver(self, sampling: list[Slot], ids: list[int], logps: list[float]) -> None:
        for slot, token, logp in zip(sampling, ids, logps, strict=True):
            draft = slot.draft
            if draft is None:
                continue
            reason = draft.append(token, logp, self.model.version)
            slot.pending = [token]
            if reason is not None:
                slot.pending, slot.draft = [], None
                draft.finish(reason)
