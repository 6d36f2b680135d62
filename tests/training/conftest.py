import copy
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from agentrft.domain.training import LoraConfig
from agentrft.modeling.adapters import Adapters, new_adapters
from agentrft.modeling.weights import BaseWeights, load_weights
from agentrft.training.embedded import EmbeddedTrainer
from agentrft.training.gradients import LocalPasses
from agentrft.training.policy import FullPolicy, LoraPolicy
from tests.modeling.tiny import FAMILIES, write_model
from tests.training.trees import merge_into


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """The same model as transformers has it and as we have it, in fp32."""

    family: str
    folder: Path
    theirs: transformers.PreTrainedModel
    base: BaseWeights

    def fresh(self, adapters: Adapters | None = None) -> transformers.PreTrainedModel:
        """A copy of transformers' model that takes gradients; `adapters` are merged into it."""
        model = copy.deepcopy(self.theirs)
        if adapters is not None:
            merge_into(model, adapters)
        return model


@pytest.fixture(scope="session")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Pair]:
    root = tmp_path_factory.mktemp("pairs")
    found = {}
    for family in FAMILIES:
        theirs = write_model(root / family, family)
        base = load_weights(root / family, torch.float32)
        found[family] = Pair(family=family, folder=root / family, theirs=theirs, base=base)
    return found


@pytest.fixture
def pair(pairs: dict[str, Pair]) -> Pair:
    return pairs["qwen3"]


def trained_adapters(base: BaseWeights) -> Adapters:
    """Adapters that change the model: B is not zero."""
    adapters = new_adapters(base, LoraConfig(rank=3, alpha=6.0), seed=1)
    generator = torch.Generator().manual_seed(2)
    for layer in adapters.layers:
        for adapter in layer.values():
            adapter.b_Or.normal_(std=0.05, generator=generator)
    return adapters


@pytest.fixture
def make_trainer(tmp_path: Path) -> Callable[..., EmbeddedTrainer]:
    """A trainer of a base's adapters, or of all its weights; `threads` passes at a time."""

    def make(base: BaseWeights, *, full: bool = False, threads: int = 1, **settings: Any) -> EmbeddedTrainer:
        policy = FullPolicy(base) if full else LoraPolicy(base, trained_adapters(base))
        return EmbeddedTrainer(policy, LocalPasses(policy, threads), tmp_path / "job", **settings)

    return make


@pytest.fixture
def gradients() -> Callable[..., Any]:
    """Loss and gradients of one batch, from the passes themselves: no optimizer step."""
    import threading

    from agentrft.training.gradients import BatchTotals, PassSums

    def run(trainer: EmbeddedTrainer, data: Any, settings: Any) -> PassSums:
        totals = BatchTotals(sequences=len(data), tokens=sum(sum(w != 0 for w in d.weights) for d in data))
        passes, trees = trainer._passes, trainer._pack(data)
        return passes.run(trees, settings, totals, weights=trainer._publish, stop=threading.Event())

    return run
