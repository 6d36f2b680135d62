"""Forward-backward passes over packed trees: who runs them, and what they add up to.

`LocalPasses` runs them on threads of this process. Something else may run them in other processes: it gets trees and
gives sums, and needs no more than that.

Shapes: A action tokens, n rows.
"""

import threading
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from agentrft.domain.training import UpdateSettings, Weights
from agentrft.modeling.network import Rotary, flush_denormals
from agentrft.training.losses import LOSSES, Actions, guard_mask, trust_mask
from agentrft.training.passes import Stem, TreeLogps, tree_logps
from agentrft.training.policy import Policy
from agentrft.training.tree import Tree


class Stopped(Exception):
    """The update was cancelled between two passes; the weights are as before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchTotals:
    """Constants of a whole batch, whatever passes it is cut into."""

    sequences: int
    tokens: int  # action tokens


@dataclass(slots=True, kw_only=True)
class PassSums:
    """What passes add up to: the loss, a gradient per parameter, and sums for the metrics."""

    loss: float = 0.0
    gradients: list[Tensor] = field(default_factory=list)
    sums: dict[str, float] = field(default_factory=lambda: defaultdict(float))

    def add(self, other: "PassSums") -> None:
        """Names that begin with `max_` keep the larger value; all else is added."""
        self.loss += other.loss
        if self.gradients:
            for mine, theirs in zip(self.gradients, other.gradients, strict=True):
                mine += theirs
        else:
            self.gradients = other.gradients
        for name, value in other.sums.items():
            self.sums[name] = max(self.sums[name], value) if name.startswith("max_") else self.sums[name] + value


class Passes(Protocol):
    """Runs passes. `width` is how many run at a time."""

    @property
    def width(self) -> int: ...

    def run(
        self,
        trees: Sequence[Tree],
        settings: UpdateSettings,
        totals: BatchTotals,
        *,
        weights: Callable[[], Weights],
        stop: threading.Event,
    ) -> PassSums:
        """All passes, added up in an order that does not depend on timing. Blocks.

        Args:
            trees: the longest first; all have the same stem.
            weights: publishes the current weights, for passes that run elsewhere.
            stop: give up at the next opportunity.

        Raises:
            Stopped: `stop` was set.
        """


class LocalPasses:
    """Passes on threads of this process, one thread per pass.

    Threads of one torch operation would wait for each other at every operation, and stall when anything else wants the
    core.
    """

    def __init__(self, policy: Policy, threads: int = 1) -> None:
        self._policy = policy
        self._threads = threads
        self._rotary = Rotary(policy.base.config, policy.base.embedding_VH.dtype)

    @property
    def width(self) -> int:
        """See Passes."""
        return self._threads

    def run(
        self,
        trees: Sequence[Tree],
        settings: UpdateSettings,
        totals: BatchTotals,
        *,
        weights: Callable[[], Weights],
        stop: threading.Event,
    ) -> PassSums:
        """See Passes."""

        flush_denormals()  # the stem is computed on this thread
        self._policy.layers()  # merged once, before the threads ask for it
        stem = Stem(self._policy, trees[0], self._rotary) if trees and trees[0].stem else None
        leaves = stem.leaves if stem else []

        def run(tree: Tree) -> tuple[PassSums, Sequence[Tensor]]:
            if stop.is_set():
                raise Stopped
            return self._pass(tree, settings, totals, leaves)

        result = PassSums()
        with ThreadPoolExecutor(self._threads, "trainer", initializer=flush_denormals) as pool:
            for done, found in pool.map(run, trees):
                result.add(done)
                if stem:
                    stem.add(found)
        if stem:
            result.add(PassSums(gradients=stem.gradients(), sums={"unique_tokens": trees[0].stem}))
        return result

    def _pass(
        self, tree: Tree, settings: UpdateSettings, totals: BatchTotals, leaves: Sequence[Tensor]
    ) -> tuple[PassSums, Sequence[Tensor]]:
        """What one tree adds, and its gradients for the stem's keys and values."""
        result = tree_logps(self._policy, tree, self._rotary, leaves)
        sums: dict[str, float] = defaultdict(float)
        sums |= {"unique_tokens": tree.fresh, "nominal_tokens": tree.nominal_tokens}
        sums["entropy"] = float(result.entropy_A.sum())
        if settings.loss is None:
            loss = -(result.weight_A * result.logp_A).sum() / settings.normaliser
        else:
            actions = _actions(tree, result, settings, totals)
            loss = LOSSES[settings.loss](actions)
            sums |= _measure(actions)
        # Not loss.backward(): threads would add to the same gradients at the same time.
        parameters = self._policy.parameters()
        gradients = torch.autograd.grad(loss, [*parameters, *leaves])
        own, found = gradients[: len(parameters)], gradients[len(parameters) :]
        return PassSums(loss=float(loss.detach()), gradients=list(own), sums=sums), found


def mean_metrics(sums: Mapping[str, float], totals: BatchTotals) -> dict[str, float]:
    """Metrics per action token from the sums of `LocalPasses`."""
    tokens = max(totals.tokens, 1)
    metrics = {"entropy": sums["entropy"] / tokens}
    if sums.get("ratio_squared"):
        metrics |= {name: sums[name] / tokens for name in ("mismatch_kl", "logp_difference", "trust_masked")}
        metrics["max_probability_change"] = sums["max_probability_change"]
        metrics["effective_sample_share"] = sums["ratio"] ** 2 / (tokens * sums["ratio_squared"])
        metrics["guarded_sequences"] = sums["guarded_sequences"] / max(totals.sequences, 1)
    return metrics


def _actions(tree: Tree, result: TreeLogps, settings: UpdateSettings, totals: BatchTotals) -> Actions:
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
