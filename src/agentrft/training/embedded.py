"""The `Trainer` port on this machine: pack, run the passes, clip, Adam; published weights and checkpoints."""

import asyncio
import json
import os
import secrets
import shutil
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from agentrft.domain.training import Capabilities, Checkpoint, Datum, Loss, UpdateSettings, UpdateStats, Weights
from agentrft.modeling.adapters import save_adapters
from agentrft.modeling.weights import save_weights
from agentrft.training.gradients import BatchTotals, Passes, Stopped, mean_metrics
from agentrft.training.policy import FullPolicy, LoraPolicy
from agentrft.training.tree import Tree, pack, shared_stem

ADAM_BETAS = (0.9, 0.95)  # rl-engine reference, section 0
ADAM_EPS = 1e-8
MASTER = "master"  # beside Adam's own names in a checkpoint
KEPT_VERSIONS = 2  # published weights on disk: the newest and the one that a sampler may still be reading


class EmbeddedTrainer:
    """Implements ports.Trainer.

    Args:
        policy: what moves.
        passes: who runs forward and backward.
        folder: checkpoints go to `folder`/step-N, published weights to a folder in it that is this trainer's alone.
        like: a folder whose config and tokenizer go with full weights, so that they load by themselves.
        max_tokens: unique tokens of one pass; bounds memory, changes no result.
    """

    def __init__(
        self,
        policy: LoraPolicy | FullPolicy,
        passes: Passes,
        folder: Path,
        *,
        like: Path | None = None,
        max_tokens: int = 2048,
    ) -> None:
        self.policy = policy
        self._passes = passes
        self._folder = folder
        self._published_folder = folder / f"weights-{secrets.token_hex(4)}"
        self._like = like
        self._max_tokens = max_tokens
        self._optimizer = torch.optim.Adam(policy.parameters(), lr=0.0, betas=ADAM_BETAS, eps=ADAM_EPS)
        self._version = 0
        self._published: Weights | None = None
        self._stop = threading.Event()

    def capabilities(self) -> Capabilities:
        """See ports.Trainer."""
        context = self.policy.base.config.max_positions
        return Capabilities(
            losses=frozenset(Loss), lora=True, full_weights=True, supervised=True, max_context_tokens=context
        )

    async def update(self, data: Sequence[Datum], settings: UpdateSettings) -> UpdateStats:
        """See ports.Trainer. Cancelling stops between two passes and leaves the weights as they were."""
        self._stop.clear()
        task = asyncio.create_task(asyncio.to_thread(self._update, data, settings))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            self._stop.set()
            await asyncio.gather(task, return_exceptions=True)
            raise

    async def publish(self) -> Weights:
        """See ports.Trainer. While the weights do not change, neither does their version."""
        return await asyncio.to_thread(self._publish)

    async def save(self, step: int, metrics: Mapping[str, float]) -> Checkpoint:
        """See ports.Trainer. The folder appears whole, by rename."""
        path = self._folder / f"step-{step}"
        await asyncio.to_thread(self._save, path, step, metrics)
        return Checkpoint(step=step, path=str(path), metrics=metrics)

    async def restore(self, checkpoint: Checkpoint) -> None:
        """See ports.Trainer. Versions go on behind that of the checkpoint.

        Raises:
            OSError, ValueError, KeyError, SafetensorError: the checkpoint is damaged; nothing has changed then.
        """
        await asyncio.to_thread(self._restore, Path(checkpoint.path))

    def discard_published(self) -> None:
        """The job is over: nobody reads the published weights any more."""
        shutil.rmtree(self._published_folder, ignore_errors=True)

    def _update(self, data: Sequence[Datum], settings: UpdateSettings) -> UpdateStats:
        totals = BatchTotals(sequences=len(data), tokens=sum(sum(w != 0 for w in datum.weights) for datum in data))
        trees = self._pack(data)
        done = self._passes.run(trees, settings, totals, weights=self._publish, stop=self._stop)
        if self._stop.is_set():
            raise Stopped
        for parameter, gradient in zip(self.policy.parameters(), done.gradients, strict=True):
            parameter.grad = gradient
        grad_norm = self._step(settings)
        return UpdateStats(
            loss=done.loss,
            grad_norm=grad_norm,
            tokens=totals.tokens,
            unique_tokens=int(done.sums["unique_tokens"]),
            nominal_tokens=int(done.sums["nominal_tokens"]),
            metrics=mean_metrics(done.sums, totals),
        )

    def _pack(self, data: Sequence[Datum]) -> list[Tree]:
        """Trees within the token budget, as even as can be, and as many as keep everybody busy."""
        width, stem = self._passes.width, shared_stem(data)
        most = max(self._max_tokens - stem, self._max_tokens // 2)  # what the stem's pass keeps counts too
        count = len(list(pack(data, most, stem)))
        wanted = min(-(-count // width) * width, len(data))
        low, high = 1, most
        while low < high:
            middle = (low + high) // 2
            if len(list(pack(data, middle, stem))) > wanted:
                low = middle + 1
            else:
                high = middle
        return sorted(pack(data, high, stem), key=len, reverse=True)

    def _step(self, settings: UpdateSettings) -> float:
        norm = torch.nn.utils.clip_grad_norm_(self.policy.parameters(), settings.grad_clip)
        for group in self._optimizer.param_groups:
            group["lr"] = settings.learning_rate
        if bool(torch.isfinite(norm)):
            self._optimizer.step()
            self.policy.changed()
            self._published = None
        self._optimizer.zero_grad(set_to_none=True)
        return float(norm)

    def _publish(self) -> Weights:
        if self._published is None:
            self._version += 1
            location = self._published_folder / f"v{self._version}"
            self.write_model(location)
            shutil.rmtree(location.with_name(f"v{self._version - KEPT_VERSIONS}"), ignore_errors=True)
            self._published = Weights(version=self._version, location=str(location))
        return self._published

    def _save(self, path: Path, step: int, metrics: Mapping[str, float]) -> None:
        scratch = path.with_name(path.name + ".partial")
        shutil.rmtree(scratch, ignore_errors=True)
        self.write_model(scratch)
        state = self._optimizer.state_dict()["state"]
        tensors = {f"{i}.{name}": value.clone() for i, values in state.items() for name, value in values.items()}
        tensors |= {f"{i}.{MASTER}": value.detach().clone() for i, value in enumerate(self.policy.parameters())}
        save_file(tensors, scratch / "optimizer.safetensors")
        described = {"step": step, "version": self._version, "metrics": dict(metrics)}
        (scratch / "checkpoint.json").write_text(json.dumps(described, indent=2))
        for written in (*scratch.iterdir(), scratch):
            _sync(written)
        shutil.rmtree(path, ignore_errors=True)
        os.rename(scratch, path)
        _sync(path.parent)

    @torch.no_grad()
    def _restore(self, path: Path) -> None:
        version = int(json.loads((path / "checkpoint.json").read_text())["version"])
        saved = load_file(path / "optimizer.safetensors")
        parameters = self.policy.parameters()
        masters = [saved.pop(f"{i}.{MASTER}") for i in range(len(parameters))]
        if any(mine.shape != theirs.shape for mine, theirs in zip(parameters, masters, strict=True)):
            raise ValueError(f"the checkpoint {path} is of another model")
        for mine, theirs in zip(parameters, masters, strict=True):
            mine.copy_(theirs)
        for name, value in saved.items():
            index, _, key = name.partition(".")
            self._optimizer.state[parameters[int(index)]][key] = value
        self._version = max(self._version, version)
        self._published = None
        self.policy.changed()

    def write_model(self, folder: Path) -> None:
        """What a sampler needs to serve the current weights: an adapter, or all weights."""
        folder.mkdir(parents=True, exist_ok=True)
        if isinstance(self.policy, LoraPolicy):
            save_adapters(self.policy.adapters, self.policy.base.config, folder)
            return
        save_weights(self.policy.snapshot(), folder)
        for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
            if self._like is not None and (self._like / name).is_file():
                shutil.copyfile(self._like / name, folder / name)


def _sync(path: Path) -> None:
    """Have a file or a folder on the disk, so that it outlasts a loss of power."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
