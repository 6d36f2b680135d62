"""The scripted sampler tells the truth about its log-probabilities."""

import math
from collections import Counter

import pytest

from agentrft.domain.episode import FinishReason
from agentrft.domain.job import Sampling
from agentrft.domain.training import Weights
from agentrft.ports import SampleRequest
from agentrft.testing import FakeSampler, WordChat
from agentrft.testing.chat import END


def a_request(seed: int = 1, *, session: str = "a", max_tokens: int = 8) -> SampleRequest:
    return SampleRequest(
        session=session, prompt=(9,), max_tokens=max_tokens, stop_ids=frozenset({END}), sampling=Sampling(), seed=seed
    )


async def test_the_log_probabilities_are_those_of_the_draw() -> None:
    chat = WordChat()
    sampler = FakeSampler(chat, lambda request: ["yes it is", "yes", "no"])
    drawn = [await sampler.sample(a_request(seed)) for seed in range(600)]
    for ids, count in Counter(completion.ids for completion in drawn).items():
        logp = next(math.fsum(completion.logps) for completion in drawn if completion.ids == ids)
        assert logp == pytest.approx(math.log(1 / 3))
        assert count / 600 == pytest.approx(1 / 3, abs=0.07)
    (yes,) = chat.encode("yes")
    assert next(completion.logps[0] for completion in drawn if completion.ids[0] == yes) == pytest.approx(
        math.log(2 / 3)
    )


async def test_a_seed_decides_the_draw_and_a_session_its_turn() -> None:
    sampler = FakeSampler(WordChat(), [["a", "b", "c"], ["end"]])
    first = await sampler.sample(a_request(7, session="one"))
    assert first == await sampler.sample(a_request(7, session="two"))
    second = await sampler.sample(a_request(7, session="one"))
    assert second.ids != first.ids


async def test_a_budget_cuts_the_text_without_a_stop_token() -> None:
    sampler = FakeSampler(WordChat(), [["one two three"]])
    completion = await sampler.sample(a_request(max_tokens=2))
    assert completion.finish is FinishReason.LENGTH
    assert END not in completion.ids
    assert len(completion.ids) == len(completion.logps) == 2


async def test_the_version_is_that_of_the_weights_loaded_last() -> None:
    sampler = FakeSampler(WordChat(), lambda request: ["a"])
    assert set((await sampler.sample(a_request())).versions) == {0}
    await sampler.load(Weights(version=3, location="x"))
    assert set((await sampler.sample(a_request())).versions) == {3}
