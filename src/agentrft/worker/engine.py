"""The embedded engine of one job: a replica per core for adapters, threads for all weights."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from agentrft.domain.job import Job
from agentrft.domain.training import Weights
from agentrft.modeling.folders import read_weights
from agentrft.modeling.weights import BaseWeights
from agentrft.sampling.embedded import EmbeddedSampler
from agentrft.sampling.model import SamplerModel, build_model
from agentrft.sampling.thread import ThreadShard
from agentrft.training.embedded import EmbeddedTrainer
from agentrft.training.gradients import LocalPasses
from agentrft.training.policy import FullPolicy, LoraPolicy
from agentrft.worker.device import MAX_SESSIONS, TRAINING_TOKENS, cores
from agentrft.worker.models import LoadedModel, ModelLoader
from agentrft.worker.replica import Replica, ReplicaPasses, ReplicaPlan


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """Both ports. The sampler is entered by whoever samples; a supervised job does not."""

    trainer: EmbeddedTrainer
    sampler: EmbeddedSampler


@asynccontextmanager
async def open_engine(job: Job, loaded: LoadedModel, loader: ModelLoader, folder: Path) -> AsyncIterator[Engine]:
    """Start what the job needs; all of it is stopped at the end."""
    policy = await asyncio.to_thread(loader.start_policy, loaded, job.lora, job.seed)
    if isinstance(policy, FullPolicy):
        engine = _in_process(policy, loaded, await asyncio.to_thread(loader.weights, loaded), folder)
        try:
            yield engine
        finally:
            engine.trainer.discard_published()
        return
    replicas = [
        Replica(ReplicaPlan(base_folder=loaded.weights_folder, slots=-(-MAX_SESSIONS // cores())))
        for _ in range(cores())
    ]
    trainer = _trainer(policy, ReplicaPasses(replicas), loaded, folder)
    try:
        await asyncio.gather(*(asyncio.to_thread(replica.launch) for replica in replicas))
        yield Engine(trainer=trainer, sampler=EmbeddedSampler(replicas))
    finally:
        await asyncio.gather(*(asyncio.to_thread(replica.close) for replica in replicas))
        trainer.discard_published()


def _in_process(policy: FullPolicy, loaded: LoadedModel, start: BaseWeights, folder: Path) -> Engine:
    def read(weights: Weights) -> SamplerModel:
        base, adapters = read_weights(Path(weights.location), start)
        return build_model(base, adapters, weights.version)

    first = build_model(start, loaded.adapters, 0)
    sampler = EmbeddedSampler([ThreadShard(first, read, MAX_SESSIONS)])
    return Engine(trainer=_trainer(policy, LocalPasses(policy, cores()), loaded, folder), sampler=sampler)


def _trainer(
    policy: LoraPolicy | FullPolicy, passes: ReplicaPasses | LocalPasses, loaded: LoadedModel, folder: Path
) -> EmbeddedTrainer:
    return EmbeddedTrainer(policy, passes, folder, like=loaded.folder, max_tokens=TRAINING_TOKENS)
