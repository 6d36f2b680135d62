import asyncio
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from agentrft.domain.training import Datum, Loss, UpdateSettings
from agentrft.modeling.adapters import load_adapters
from agentrft.modeling.folders import read_weights
from agentrft.modeling.weights import load_weights
from agentrft.sampling.model import build_model
from agentrft.sampling.shard import Shard
from agentrft.training.policy import FullPolicy, LoraPolicy
from tests.modeling.tiny import our_logits, reference_logps, some_ids
from tests.sampling.driving import Driver
from tests.training.conftest import Pair
from tests.training.trees import random_data, with_old_logps

SETTINGS = UpdateSettings(learning_rate=0.01, normaliser=50.0, loss=Loss.RFT_V1)
Make = Callable[..., Any]


def copies(trainer: Any) -> list[torch.Tensor]:
    return [parameter.detach().clone() for parameter in trainer.policy.parameters()]


def same(a: Sequence[torch.Tensor], b: Sequence[torch.Tensor]) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize("full", [False, True], ids=["lora", "full"])
async def test_the_sampler_and_the_trainer_compute_the_same_policy(pair: Pair, make_trainer: Make, full: bool) -> None:
    trainer = make_trainer(pair.base, full=full)
    await trainer.update(with_old_logps(random_data(1), pair.theirs, noise=0.0), SETTINGS)
    base, adapters = read_weights(Path((await trainer.publish()).location), pair.base)
    driver = Driver(Shard(build_model(base, adapters, 1), slots=4))
    turns = [driver.ask(f"s{n}", some_ids(40), seed=n, max_tokens=9) for n in range(4)]
    driver.run()
    data = [
        Datum(
            ids=(*turn.request.prompt, *turn.done.ids),
            weights=(0.0,) * 40 + (1.0,) * 9,
            old_logps=(0.0,) * 40 + turn.done.logps,
            advantage=(-1.0) ** index,
        )
        for index, turn in enumerate(turns)
    ]
    stats = await trainer.update(data, replace(SETTINGS, learning_rate=0.0))
    assert stats.metrics["logp_difference"] < 1e-5
    assert stats.metrics["mismatch_kl"] < 1e-8
    assert stats.metrics["effective_sample_share"] == pytest.approx(1.0, abs=1e-5)
    assert (stats.tokens, stats.metrics["trust_masked"], stats.metrics["guarded_sequences"]) == (36, 0.0, 0.0)
    assert stats.unique_tokens < stats.nominal_tokens == 4 * 49


@pytest.mark.parametrize("full", [False, True], ids=["lora", "full"])
@pytest.mark.parametrize("loss", [Loss.RFT_V1, Loss.GRPO, Loss.CISPO])
async def test_what_is_rewarded_becomes_likelier(pair: Pair, make_trainer: Make, full: bool, loss: Loss) -> None:
    trainer = make_trainer(pair.base, full=full)
    good, bad = (tuple(some_ids(20)) + tuple(some_ids(5, seed=seed)) for seed in (1, 2))
    settings = UpdateSettings(learning_rate=0.003, normaliser=10.0, loss=loss)
    logps = []
    for _ in range(5):
        weights, adapters = read_weights(Path((await trainer.publish()).location), pair.base)
        now = [_logps(weights, adapters, ids) for ids in (good, bad)]
        logps.append([sum(each[20:]) for each in now])
        data = [
            Datum(ids=ids, weights=(0.0,) * 20 + (1.0,) * 5, old_logps=old, advantage=advantage)
            for ids, old, advantage in zip((good, bad), now, (1.0, -1.0), strict=True)
        ]
        await trainer.update(data, settings)
    assert logps[-1][0] > logps[0][0] + 0.5
    assert logps[-1][1] < logps[0][1]


def _logps(base: Any, adapters: Any, ids: tuple[int, ...]) -> tuple[float, ...]:
    logits = our_logits(base, ids, adapters)
    found = torch.log_softmax(logits[:-1], -1).gather(1, torch.tensor(ids[1:])[:, None])[:, 0]
    return (0.0, *found.tolist())


async def test_supervised_loss_is_the_weighted_mean_that_was_asked_for(pair: Pair, make_trainer: Make) -> None:
    trainer = make_trainer(pair.base)
    theirs = pair.fresh(trainer.policy.adapters)
    data = [Datum(ids=tuple(some_ids(20, seed=n)), weights=(0.0,) * 12 + (0.125,) * 8) for n in range(3)]
    expected = -sum(float(reference_logps(theirs, d.ids)[11:].mean()) for d in data) / 3
    stats = await trainer.update(data, UpdateSettings(learning_rate=0.0, normaliser=3.0))
    assert stats.loss == pytest.approx(expected, rel=1e-4)
    assert (stats.tokens, set(stats.metrics)) == (24, {"entropy"})
    losses = [(await trainer.update(data, UpdateSettings(learning_rate=0.01, normaliser=3.0))).loss for _ in range(8)]
    assert losses[-1] < 0.7 * losses[0]


async def test_the_gradient_is_clipped_to_its_norm(pair: Pair, make_trainer: Make) -> None:
    """Adam does not see the scale of the first gradient, so what can be seen is the norm that is reported."""
    trainer = make_trainer(pair.base)
    data = with_old_logps(random_data(2), pair.fresh(trainer.policy.adapters), noise=0.0)
    norms = [
        (await trainer.update(data, replace(SETTINGS, learning_rate=0.0, normaliser=n, grad_clip=1e-3))).grad_norm
        for n in (50.0, 100.0)
    ]
    assert norms[0] == pytest.approx(2 * norms[1], rel=1e-4)


async def test_a_gradient_that_is_not_finite_moves_nothing(pair: Pair, make_trainer: Make) -> None:
    trainer = make_trainer(pair.base)
    before = copies(trainer)
    data = [replace(datum, advantage=float("nan")) for datum in with_old_logps(random_data(2), pair.theirs, noise=0.0)]
    await trainer.update(data, replace(SETTINGS, loss=Loss.CISPO))
    assert same(before, copies(trainer))


@pytest.mark.parametrize("ticks", [1, 2, 3])
async def test_a_cancelled_update_leaves_the_weights_as_they_were(pair: Pair, make_trainer: Make, ticks: int) -> None:
    trainer = make_trainer(pair.base, max_tokens=1)
    before = copies(trainer)
    data = with_old_logps(random_data(2, sequences=30), pair.theirs, noise=0.0)
    task = asyncio.create_task(trainer.update(data, SETTINGS))
    for _ in range(ticks):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert same(before, copies(trainer))
    await trainer.update(data, SETTINGS)
    assert not same(before, copies(trainer))


async def test_an_update_cancelled_in_its_last_pass_leaves_the_weights_as_they_were(
    pair: Pair, make_trainer: Make
) -> None:
    trainer = make_trainer(pair.base)
    before = copies(trainer)
    data = with_old_logps(random_data(2), pair.theirs, noise=0.0)
    passes = _Stopping(trainer._passes)
    trainer._passes = passes
    update = asyncio.create_task(trainer.update(data, SETTINGS))
    loop = asyncio.get_running_loop()
    passes.cancel = lambda: loop.call_soon_threadsafe(update.cancel)
    with pytest.raises(asyncio.CancelledError):
        await update
    assert same(before, copies(trainer))


class _Stopping:
    """Passes during whose last moment the update is cancelled."""

    def __init__(self, passes: Any) -> None:
        self.passes = passes
        self.width = passes.width
        self.cancel: Callable[[], object] = lambda: None

    def run(self, trees: Any, settings: Any, totals: Any, *, weights: Any, stop: Any) -> Any:
        done = self.passes.run(trees, settings, totals, weights=weights, stop=stop)
        self.cancel()
        assert stop.wait(timeout=30)
        return done


async def test_versions_change_with_the_weights_and_old_ones_are_cleared_away(pair: Pair, make_trainer: Make) -> None:
    trainer = make_trainer(pair.base)
    data = with_old_logps(random_data(2), pair.theirs, noise=0.0)
    versions = []
    for _ in range(4):
        published = await trainer.publish()
        assert await trainer.publish() == published
        versions.append(published.version)
        await trainer.update(data, SETTINGS)
    assert versions == sorted(set(versions))
    folders = list(Path(published.location).parent.iterdir())
    assert len(folders) == 2
    trainer.discard_published()
    assert not folders[0].exists()


async def test_a_checkpoint_of_adapters_holds_what_it_takes_to_go_on(pair: Pair, make_trainer: Make) -> None:
    trainer = make_trainer(pair.base)
    await trainer.update(with_old_logps(random_data(2), pair.theirs, noise=0.0), SETTINGS)
    checkpoint = await trainer.save(5, {"train_reward_mean": 0.5})
    folder = Path(checkpoint.path)
    assert (checkpoint.step, checkpoint.metrics, folder.name) == (5, {"train_reward_mean": 0.5}, "step-5")
    assert set(os.listdir(folder)) == {
        "adapter_model.safetensors", "adapter_config.json", "optimizer.safetensors", "checkpoint.json",
    }  # fmt: skip
    assert isinstance(trainer.policy, LoraPolicy)
    back = load_adapters(folder, pair.base.config)
    assert same(back.parameters(), trainer.policy.adapters.parameters())
    described = json.loads((folder / "checkpoint.json").read_text())
    assert (described["step"], described["metrics"]) == (5, {"train_reward_mean": 0.5})
    state = load_file(folder / "optimizer.safetensors")
    assert len([name for name in state if name.endswith(".exp_avg_sq")]) == len(trainer.policy.parameters())
    assert [path.name for path in folder.parent.iterdir()] == ["step-5"]


async def test_a_checkpoint_of_all_weights_is_a_model_by_itself(pair: Pair, make_trainer: Make) -> None:
    trainer = make_trainer(pair.base, full=True, like=pair.folder)
    await trainer.update(with_old_logps(random_data(2), pair.theirs, noise=0.0), SETTINGS)
    folder = Path((await trainer.save(1, {})).path)
    assert {"config.json", "tokenizer.json", "model.safetensors"} <= set(os.listdir(folder))
    saved = load_weights(folder, torch.float32)
    assert isinstance(trainer.policy, FullPolicy)
    assert torch.equal(saved.layers[1].linear["qkv"], trainer.policy.masters.layers[1].linear["qkv"])
    assert not torch.equal(saved.embedding_VH, pair.base.embedding_VH)


async def test_a_step_that_is_done_again_replaces_its_checkpoint(pair: Pair, make_trainer: Make) -> None:
    trainer = make_trainer(pair.base)
    (trainer._folder / "step-1.partial").mkdir(parents=True)  # left behind by a worker that was killed
    (trainer._folder / "step-1.partial" / "junk").touch()
    await trainer.save(1, {"a": 1.0})
    checkpoint = await trainer.save(1, {"a": 2.0})
    assert json.loads((Path(checkpoint.path) / "checkpoint.json").read_text())["metrics"] == {"a": 2.0}
    assert not (Path(checkpoint.path) / "junk").exists()


@pytest.mark.parametrize("full", [False, True], ids=["lora", "full"])
async def test_a_restored_trainer_goes_on_as_the_undisturbed_one(pair: Pair, make_trainer: Make, full: bool) -> None:
    data = with_old_logps(random_data(2), pair.theirs, noise=0.0)
    undisturbed = make_trainer(pair.base, full=full)
    for _ in range(2):
        await undisturbed.update(data, SETTINGS)
    before = await undisturbed.publish()
    checkpoint = await undisturbed.save(2, {})
    await undisturbed.update(data, SETTINGS)
    restored = make_trainer(pair.base, full=full)
    await restored.restore(checkpoint)
    assert (await restored.publish()).version > before.version
    await restored.update(data, SETTINGS)
    assert same(copies(restored), copies(undisturbed))


async def test_a_damaged_checkpoint_changes_nothing(pair: Pair, make_trainer: Make) -> None:
    trainer = make_trainer(pair.base)
    checkpoint = await trainer.save(1, {})
    before = copies(trainer)
    (Path(checkpoint.path) / "optimizer.safetensors").write_bytes(b"broken off")
    with pytest.raises(SafetensorError):
        await trainer.restore(checkpoint)
    stranger = await make_trainer(pair.base, full=True).save(2, {})
    with pytest.raises(ValueError, match="another model"):
        await trainer.restore(stranger)
    assert same(copies(trainer), before)


def test_it_says_what_it_can_do(pair: Pair, make_trainer: Make) -> None:
    found = make_trainer(pair.base).capabilities()
    assert (found.losses, found.lora, found.full_weights, found.supervised) == (frozenset(Loss), True, True, True)
    assert found.max_context_tokens == pair.base.config.max_positions
