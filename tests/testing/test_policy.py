"""The toy policy samples what it says, and its trainer climbs the gradient it claims to climb."""

import math

import pytest

from agentrft.domain.job import Sampling
from agentrft.domain.training import Datum, Loss, UpdateSettings
from agentrft.ports import SampleRequest
from agentrft.testing import ToyPolicy

LEFT, RIGHT, END = 0, 1, 2


def a_request(seed: int, *, top_p: float = 1.0) -> SampleRequest:
    return SampleRequest(
        session="s",
        prompt=(7, 8),
        max_tokens=5,
        stop_ids=frozenset({END}),
        sampling=Sampling(top_p=top_p),
        seed=seed,
    )


def settings(*, loss: Loss | None = Loss.RFT_V1, rate: float = 1.0, clip: float = 100.0) -> UpdateSettings:
    return UpdateSettings(learning_rate=rate, normaliser=1.0, loss=loss, grad_clip=clip)


def a_datum(policy: ToyPolicy, action: int, advantage: float) -> Datum:
    logp = math.log(policy.probability(action, [7, 8]))
    return Datum(ids=(7, 8, action), weights=(0.0, 0.0, 1.0), old_logps=(0.0, 0.0, logp), advantage=advantage)


async def test_recorded_log_probabilities_are_those_of_the_loaded_weights() -> None:
    policy = ToyPolicy([LEFT, RIGHT, END], bias={END: 1.0})
    completion = await policy.sample(a_request(3))
    before = [7, 8]
    for token, logp in zip(completion.ids, completion.logps, strict=True):
        assert logp == pytest.approx(math.log(policy.probability(token, before)))
        before.append(token)


async def test_one_update_is_the_policy_gradient_by_hand() -> None:
    policy = ToyPolicy([LEFT, RIGHT])
    stats = await policy.update([a_datum(policy, LEFT, 1.0), a_datum(policy, RIGHT, -1.0)], settings())
    await policy.load(await policy.publish())
    # Each datum moves the logits by A * (onehot - 1/2): together +1 and -1.
    assert policy.probability(LEFT, [7, 8]) == pytest.approx(1 / (1 + math.exp(-2)))
    assert stats.grad_norm == pytest.approx(math.sqrt(2))
    assert stats.tokens == 2


async def test_a_token_that_has_become_rarer_weighs_less() -> None:
    policy = ToyPolicy([LEFT, RIGHT])
    datum = Datum(ids=(7, 8, LEFT), weights=(0.0, 0.0, 1.0), old_logps=(0.0, 0.0, 0.0), advantage=1.0)
    stats = await policy.update([datum], settings())
    assert stats.grad_norm == pytest.approx(0.5 * math.sqrt(0.5))


async def test_the_gradient_is_clipped_by_its_norm() -> None:
    policy = ToyPolicy([LEFT, RIGHT])
    stats = await policy.update([a_datum(policy, LEFT, 10.0)], settings(clip=0.1))
    await policy.load(await policy.publish())
    step = 0.1 / math.sqrt(2)
    assert stats.grad_norm > 1.0
    assert policy.probability(LEFT, [7, 8]) == pytest.approx(1 / (1 + math.exp(-2 * step)))


async def test_what_is_learned_is_sampled_only_once_published_and_loaded() -> None:
    policy = ToyPolicy([LEFT, RIGHT])
    await policy.update([a_datum(policy, LEFT, 1.0)], settings())
    assert policy.probability(LEFT, [7, 8]) == 0.5
    weights = await policy.publish()
    await policy.update([a_datum(policy, LEFT, 1.0)], settings())
    await policy.load(weights)
    once = policy.probability(LEFT, [7, 8])
    await policy.load(await policy.publish())
    assert 0.5 < once < policy.probability(LEFT, [7, 8])


async def test_what_it_cannot_do_is_refused() -> None:
    policy = ToyPolicy([LEFT, RIGHT])
    with pytest.raises(ValueError, match="top_p"):
        await policy.sample(a_request(1, top_p=0.9))
    with pytest.raises(ValueError, match="gspo"):
        await policy.update([], settings(loss=Loss.GSPO))
