"""The `Trainer` port on this machine: pack, forward, loss, backward, clip, Adam; snapshots and checkpoints.

Shapes: A action tokens, n rows.
"""

import asyncio
import json
import os
import shutil
import threading
from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from agentrft.domain.training import Capabilities, Checkpoint, Datum, Loss, UpdateSettings, UpdateStats, Weights
from agentrft.modeling.adapters import Adapter, Adapters, save_adapters
from agentrft.modeling.exchange import Published, WeightExchange
from agentrft.modeling.network import Rotary, flush_denormals
from agentrft.modeling.weights import save_weights
from agentrft.training.losses import LOSSES, Actions, guard_mask, trust_mask
from agentrft.training.passes import TreeLogps, tree_logps
from agentrft.training.policy import FullPolicy, LoraPolicy
from agentrft.training.tree import Tree, pack

ADAM_BETAS = (0.9, 0.95)  # rl-engine reference, section 0
ADAM_EPS = 1e-8


class Stopped(Exception):
    """The update was cancelled between two micro-batches; the weights are as before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Totals:
    """Constants of a whole batch, whatever micro-batches it is cut into."""

    sequences: int
    tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pass:
    """What one forward-backward pass gives: sums, to be added up over passes."""

    loss: float
    gradients: tuple[Tensor, ...]
    sums: dict[str, float]


class EmbeddedTrainer:
    """Implements ports.Trainer.

    Args:
        policy: what moves.
        exchange: where the sampler finds snapshots.
        folder: checkpoints go to `folder`/step-N.
        like: a folder whose config and tokenizer go with full weights, so that they load by themselves.
        max_tokens: unique tokens of one forward-backward pass; bounds memory, changes no result.
        threads: passes at a time, each on a thread of its own. Threads of one operation would wait for each other at
            every operation, and stall when anything else wants the core.
    """

    def __init__(
        self,
        policy: LoraPolicy | FullPolicy,
        exchange: WeightExchange,
        folder: Path,
        *,
        like: Path | None = None,
        max_tokens: int = 2048,
        threads: int = 1,
    ) -> None:
        self.policy = policy
        self._exchange = exchange
        self._folder = folder
        self._like = like
        self._max_tokens = max_tokens
        self._threads = threads
        self._optimizer = torch.optim.Adam(policy.parameters(), lr=0.0, betas=ADAM_BETAS, eps=ADAM_EPS)
        self._rotary = Rotary(policy.base.config, policy.base.embedding_VH.dtype)
        self._version = 0
        self._stop = threading.Event()

    def capabilities(self) -> Capabilities:
        """See ports.Trainer."""
        context = self.policy.base.config.max_positions
        return Capabilities(
            losses=frozenset(Loss), lora=True, full_weights=True, supervised=True, max_context_tokens=context
        )

    async def update(self, data: Sequence[Datum], settings: UpdateSettings) -> UpdateStats:
        """See ports.Trainer. Cancelling stops between two micro-batches and leaves the weights as they were."""
        self._stop.clear()
        task = asyncio.create_task(asyncio.to_thread(self._update, data, settings))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            self._stop.set()
            await asyncio.gather(task, return_exceptions=True)
            raise

    async def publish(self) -> Weights:
        """See ports.Trainer."""
        self._version += 1
        return self._exchange.put(self._version, await asyncio.to_thread(self.snapshot))

    async def save(self, step: int, metrics: Mapping[str, float]) -> Checkpoint:
        """See ports.Trainer. The folder appears whole, by rename."""
        path = self._folder / f"step-{step}"
        await asyncio.to_thread(self._save, path, step, metrics)
        return Checkpoint(step=step, path=str(path), metrics=metrics)

    def snapshot(self) -> Published:
        """A copy of the current weights that later updates do not touch."""
        if isinstance(self.policy, FullPolicy):
            return Published(base=self.policy.snapshot(), adapters=None)
        return Published(base=self.policy.base, adapters=_clone(self.policy.adapters))

    def _update(self, data: Sequence[Datum], settings: UpdateSettings) -> UpdateStats:
        totals = _Totals(sequences=len(data), tokens=sum(sum(w != 0 for w in datum.weights) for datum in data))
        sums: dict[str, float] = defaultdict(float)
        trees = self._pack(data)
        self._optimizer.zero_grad(set_to_none=True)
        self.policy.layers()  # merged once, before the threads ask for it
        with ThreadPoolExecutor(self._threads, "trainer", initializer=flush_denormals) as pool:
            passes = pool.map(lambda tree: self._backward(tree, settings, totals), trees)
            loss = sum(self._add(done, sums) for done in passes)  # in the trees' order, so that runs repeat exactly
        grad_norm = self._step(settings)
        return UpdateStats(
            loss=loss,
            grad_norm=grad_norm,
            tokens=totals.tokens,
            unique_tokens=int(sums.pop("unique_tokens")),
            nominal_tokens=int(sums.pop("nominal_tokens")),
            metrics=_means(sums, totals),
        )

    def _pack(self, data: Sequence[Datum]) -> list[Tree]:
        """Trees within the token budget, as even as can be, and as many as keep every thread busy."""
        count = len(list(pack(data, self._max_tokens)))
        wanted = min(-(-count // self._threads) * self._threads, len(data))
        low, high = 1, self._max_tokens
        while low < high:
            middle = (low + high) // 2
            if len(list(pack(data, middle))) > wanted:
                low = middle + 1
            else:
                high = middle
        return sorted(pack(data, high), key=len, reverse=True)

    def _backward(self, tree: Tree, settings: UpdateSettings, totals: _Totals) -> _Pass:
        if self._stop.is_set():
            raise Stopped
        result = tree_logps(self.policy, tree, self._rotary)
        sums: dict[str, float] = {"unique_tokens": len(tree), "nominal_tokens": tree.nominal_tokens}
        sums["entropy"] = float(result.entropy_A.sum())
        if settings.loss is None:
            loss = -(result.weight_A * result.logp_A).sum() / settings.normaliser
        else:
            actions = _actions(tree, result, settings, totals)
            loss = LOSSES[settings.loss](actions)
            sums |= _measure(actions)
        # Not loss.backward(): threads would add to the same gradients at the same time.
        gradients = torch.autograd.grad(loss, self.policy.parameters())
        return _Pass(loss=float(loss.detach()), gradients=gradients, sums=sums)

    def _add(self, done: _Pass, sums: dict[str, float]) -> float:
        for parameter, gradient in zip(self.policy.parameters(), done.gradients, strict=True):
            if parameter.grad is None:
                parameter.grad = gradient
            else:
                parameter.grad += gradient
        for name, value in done.sums.items():
            sums[name] = max(sums[name], value) if name.startswith("max_") else sums[name] + value
        return done.loss

    def _step(self, settings: UpdateSettings) -> float:
        norm = float(torch.nn.utils.clip_grad_norm_(self.policy.parameters(), settings.grad_clip))
        for group in self._optimizer.param_groups:
            group["lr"] = settings.learning_rate
        if torch.isfinite(torch.tensor(norm)):
            self._optimizer.step()
            self.policy.changed()
        return norm

    def _save(self, path: Path, step: int, metrics: Mapping[str, float]) -> None:
        scratch = path.with_name(path.name + ".partial")
        self.write_model(scratch)
        torch_state = self._optimizer.state_dict()["state"]
        tensors = {f"{i}.{name}": value.clone() for i, state in torch_state.items() for name, value in state.items()}
        save_file(tensors, scratch / "optimizer.safetensors")
        described = {"step": step, "version": self._version, "metrics": dict(metrics)}
        (scratch / "checkpoint.json").write_text(json.dumps(described, indent=2))
        os.rename(scratch, path)

    def write_model(self, folder: Path) -> None:
        """What a sampler needs to serve the current weights: an adapter, or all weights."""
        folder.mkdir(parents=True, exist_ok=True)
        if isinstance(self.policy, FullPolicy):
            save_weights(self.policy.snapshot(), folder)
            for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
                if self._like is not None and (self._like / name).is_file():
                    shutil.copyfile(self._like / name, folder / name)
        else:
            save_adapters(self.policy.adapters, self.policy.base.config, folder)


def _clone(adapters: Adapters) -> Adapters:
    def clone(adapter: Adapter) -> Adapter:
        return Adapter(a_rI=adapter.a_rI.detach().clone(), b_Or=adapter.b_Or.detach().clone())

    layers = tuple({name: clone(adapter) for name, adapter in layer.items()} for layer in adapters.layers)
    return Adapters(lora=adapters.lora, layers=layers)


def _actions(tree: Tree, result: TreeLogps, settings: UpdateSettings, totals: _Totals) -> Actions:
    device = result.logp_A.device
    old = [row.datum.old_logps[i] for row in tree.rows for i, weight in enumerate(row.datum.weights) if weight and i]
    advantages_n = torch.tensor([row.datum.advantage for row in tree.rows], device=device)
    length_n = torch.bincount(result.row_A, minlength=len(tree.rows)).clamp_min(1)
    return Actions(
        logp_A=result.logp_A,
        old_logp_A=torch.tensor(old, device=device),
        advantage_A=advantages_n[result.row_A],
        row_A=result.row_A,
        length_n=length_n,
        sequences=totals.sequences,
        tokens=totals.tokens,
        normaliser=settings.normaliser,
    )


@torch.no_grad()
def _measure(actions: Actions) -> dict[str, float]:
    """Sampler against trainer, and what the masks left out (rl-engine reference, section 1.4)."""
    log_ratio_A = actions.log_ratio_A.detach()
    ratio_A = log_ratio_A.exp()
    change_A = actions.logp_A.detach().exp() - actions.old_logp_A.exp()
    return {
        "mismatch_kl": float((ratio_A - log_ratio_A - 1).sum()),
        "logp_difference": float(log_ratio_A.abs().sum()),
        "max_probability_change": float(change_A.abs().max()),
        "ratio": float(ratio_A.sum()),
        "ratio_squared": float(ratio_A.square().sum()),
        "trust_masked": float((~trust_mask(actions.advantage_A, change_A)).sum()),
        "guarded_sequences": float((~guard_mask(actions)).sum()),
    }


def _means(sums: dict[str, float], totals: _Totals) -> dict[str, float]:
    tokens = max(totals.tokens, 1)
    metrics = {"entropy": sums["entropy"] / tokens}
    if sums["ratio_squared"]:
        metrics |= {name: sums[name] / tokens for name in ("mismatch_kl", "logp_difference", "trust_masked")}
        metrics["max_probability_change"] = float(sums["max_probability_change"])
        metrics["effective_sample_share"] = sums["ratio"] ** 2 / (tokens * sums["ratio_squared"])
        metrics["guarded_sequences"] = sums["guarded_sequences"] / max(totals.sequences, 1)
    return metrics
