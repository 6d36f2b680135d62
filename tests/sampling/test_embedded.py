import asyncio
from collections.abc import Callable

import pytest
import transformers

from agentrft.domain.job import Sampling
from agentrft.domain.training import Weights
from agentrft.ports import SampleRequest
from agentrft.sampling.embedded import EmbeddedSampler
from agentrft.sampling.model import SamplerModel
from agentrft.sampling.thread import ThreadShard
from tests.modeling.tiny import some_ids
from tests.sampling.driving import Turn, check

DEADLINE_S = 30
Theirs = transformers.PreTrainedModel


def request(session: str, prompt: list[int], *, seed: int = 0, max_tokens: int = 5) -> SampleRequest:
    return SampleRequest(
        session=session,
        prompt=tuple(prompt),
        max_tokens=max_tokens,
        stop_ids=frozenset(),
        sampling=Sampling(),
        seed=seed,
    )


@pytest.fixture
def make_sampler(model: SamplerModel, other: tuple[Theirs, SamplerModel]) -> Callable[..., EmbeddedSampler]:
    def make(*, shards: int = 2, slots: int = 3) -> EmbeddedSampler:
        return EmbeddedSampler([ThreadShard(model, lambda weights: other[1], slots) for _ in range(shards)])

    return make


async def test_many_sessions_over_few_slots_all_come_to_an_end(
    make_sampler: Callable[..., EmbeddedSampler], theirs: Theirs
) -> None:
    async with asyncio.timeout(DEADLINE_S), make_sampler() as sampler:

        async def episode(number: int) -> list[Turn]:
            turns, prompt = [], some_ids(40 + number % 3)
            for _ in range(2):
                asked = request(f"s{number}", prompt, seed=number)
                turns.append(Turn(request=asked, completion=await sampler.sample(asked)))
                prompt = [*turns[-1].history, 1, 2, 3]
            await sampler.release(f"s{number}")
            return turns

        for turns in await asyncio.gather(*(episode(number) for number in range(12))):
            for turn in turns:
                check(theirs, turn)


async def test_cancelling_the_wait_frees_the_place(make_sampler: Callable[..., EmbeddedSampler]) -> None:
    async with asyncio.timeout(DEADLINE_S), make_sampler(shards=1, slots=1) as sampler:
        endless = asyncio.create_task(sampler.sample(request("a", some_ids(5), max_tokens=1_000_000)))
        waiting = asyncio.create_task(sampler.sample(request("b", some_ids(5))))
        await asyncio.wait([waiting], timeout=0.05)
        assert not endless.done()
        endless.cancel()
        await asyncio.wait([endless])
        await sampler.release("a")
        assert len((await waiting).ids) == 5


async def test_new_weights_are_sampled_from_once_they_are_loaded(
    make_sampler: Callable[..., EmbeddedSampler], other: tuple[Theirs, SamplerModel]
) -> None:
    async with asyncio.timeout(DEADLINE_S), make_sampler() as sampler:
        before = await sampler.sample(request("a", some_ids(8)))
        await sampler.load(Weights(version=2, location="nowhere"))
        asked = request("b", some_ids(8))
        after = Turn(request=asked, completion=await sampler.sample(asked))
    assert (set(before.versions), set(after.done.versions)) == ({1}, {2})
    check(other[0], after)


async def test_a_shard_that_dies_tells_whoever_waits_and_whoever_asks_later(
    make_sampler: Callable[..., EmbeddedSampler],
) -> None:
    async with asyncio.timeout(DEADLINE_S), make_sampler(shards=1) as sampler:
        with pytest.raises(RuntimeError, match="has died"):
            await sampler.sample(request("a", [1, 2, 10**6]))  # no such token
        with pytest.raises(RuntimeError, match="has died"):
            await sampler.sample(request("b", [1, 2]))


async def test_releasing_what_is_not_known_does_nothing(make_sampler: Callable[..., EmbeddedSampler]) -> None:
    async with asyncio.timeout(DEADLINE_S), make_sampler() as sampler:
        await sampler.release("nobody")
