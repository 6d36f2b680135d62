import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
import torch

from agentrft.domain.job import Sampling
from agentrft.domain.training import Datum, LoraConfig, Loss, UpdateSettings, Weights
from agentrft.modeling.adapters import new_adapters, save_adapters
from agentrft.modeling.weights import load_weights
from agentrft.ports import SampleRequest
from agentrft.sampling.embedded import EmbeddedSampler
from agentrft.sampling.model import build_model
from agentrft.sampling.thread import ThreadShard
from agentrft.training.gradients import BatchTotals, LocalPasses, Stopped
from agentrft.training.policy import LoraPolicy
from agentrft.training.tree import Tree, pack
from agentrft.worker.replica import Replica, ReplicaPasses, ReplicaPlan
from tests.modeling.tiny import some_ids

pytestmark = pytest.mark.slow
DEADLINE_S = 120
SETTINGS = UpdateSettings(learning_rate=0.0, normaliser=10.0, loss=Loss.CISPO)
TOTALS = BatchTotals(sequences=6, tokens=60)


@pytest.fixture
async def replicas(tiny_folder: Path) -> AsyncIterator[list[Replica]]:
    started = [Replica(ReplicaPlan(base_folder=tiny_folder, slots=4)) for _ in range(2)]
    await asyncio.gather(*(asyncio.to_thread(replica.launch) for replica in started))
    yield started
    await asyncio.gather(*(asyncio.to_thread(replica.close) for replica in started))


@pytest.fixture
def policy(tiny_folder: Path) -> LoraPolicy:
    base = load_weights(tiny_folder)
    return LoraPolicy(base, new_adapters(base, LoraConfig(rank=2), seed=1))


@pytest.fixture
def published(policy: LoraPolicy, tmp_path: Path) -> Weights:
    save_adapters(policy.adapters, policy.base.config, tmp_path / "v1")
    return Weights(version=1, location=str(tmp_path / "v1"))


def trees(count: int = 6) -> list[Tree]:
    data = [
        Datum(ids=tuple(some_ids(30, seed=n)), weights=(0.0,) * 20 + (1.0,) * 10, old_logps=(-5.0,) * 30, advantage=1.0)
        for n in range(count)
    ]
    return list(pack(data, 60))


async def test_passes_on_other_processes_give_the_gradients_of_this_one(
    replicas: Sequence[Replica], policy: LoraPolicy, published: Weights
) -> None:
    stop = threading.Event()
    local = LocalPasses(policy).run(trees(), SETTINGS, TOTALS, weights=lambda: published, stop=stop)
    remote = ReplicaPasses(replicas)
    for _ in range(2):
        async with asyncio.timeout(DEADLINE_S):
            done = await asyncio.to_thread(remote.run, trees(), SETTINGS, TOTALS, weights=lambda: published, stop=stop)
        assert done.loss == pytest.approx(local.loss, rel=1e-5)
        assert dict(done.sums) == pytest.approx(dict(local.sums), rel=1e-5)
        for a, b in zip(done.gradients, local.gradients, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-5)


async def test_a_stop_ends_the_passes_and_the_next_ones_run(replicas: Sequence[Replica], published: Weights) -> None:
    remote, stop = ReplicaPasses(replicas), threading.Event()
    stop.set()
    async with asyncio.timeout(DEADLINE_S):
        with pytest.raises(Stopped):
            await asyncio.to_thread(remote.run, trees(2000), SETTINGS, TOTALS, weights=lambda: published, stop=stop)
        stop.clear()
        done = await asyncio.to_thread(remote.run, trees(), SETTINGS, TOTALS, weights=lambda: published, stop=stop)
    assert done.gradients


async def test_a_seed_gives_the_same_completion_in_a_process_as_in_a_thread(
    replicas: Sequence[Replica], policy: LoraPolicy, published: Weights
) -> None:
    request = SampleRequest(
        session="a", prompt=tuple(some_ids(20)), max_tokens=8, stop_ids=frozenset(), sampling=Sampling(), seed=3
    )
    model = build_model(policy.base, None, 1)
    async with (
        asyncio.timeout(DEADLINE_S),
        EmbeddedSampler(replicas) as remote,
        EmbeddedSampler([ThreadShard(model, lambda weights: model, 4)]) as local,
    ):
        await remote.load(published)
        assert await remote.sample(request) == await local.sample(request)
        endless = asyncio.create_task(remote.sample(replace_tokens(request)))
        await asyncio.wait([endless], timeout=0.05)
        endless.cancel()
        await asyncio.wait([endless])
        assert endless.cancelled()


def replace_tokens(request: SampleRequest) -> SampleRequest:
    return SampleRequest(
        session="b", prompt=request.prompt, max_tokens=3000, stop_ids=frozenset(), sampling=Sampling(), seed=1
    )


async def test_a_child_that_cannot_start_is_reported_and_not_waited_for(tmp_path: Path, published: Weights) -> None:
    replica = Replica(ReplicaPlan(base_folder=tmp_path / "nowhere", slots=1))
    replica.launch()
    try:
        async with asyncio.timeout(DEADLINE_S):
            with pytest.raises(RuntimeError, match="process of the engine"):
                await asyncio.to_thread(
                    ReplicaPasses([replica]).run,
                    trees(),
                    SETTINGS,
                    TOTALS,
                    weights=lambda: published,
                    stop=threading.Event(),
                )
    finally:
        replica.close()
