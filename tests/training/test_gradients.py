from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from agentrft.domain.training import Loss, UpdateSettings
from agentrft.modeling.weights import FUSED
from agentrft.training.attention import QUERIES
from agentrft.training.policy import FullPolicy, LoraPolicy, map_weights
from agentrft.training.tree import STEM_TOKENS
from tests.modeling.tiny import FAMILIES
from tests.training.conftest import Pair
from tests.training.trees import adapter_gradients, fused, plain_loss, random_data, relative, with_old_logps

TOLERANCE = 1e-4
SETTINGS = UpdateSettings(learning_rate=0.0, normaliser=50.0, loss=Loss.RFT_V1, grad_clip=1e9)
ALL_LOSSES = [*Loss, None]


STEMMED = STEM_TOKENS + 20  # a common beginning that is worth a pass of its own


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("seed", "root"), [(0, 12), (1, 12), (2, STEMMED)])
def test_adapter_gradients_of_packed_trees_equal_plain_autograd(
    pairs: dict[str, Pair],
    make_trainer: Callable[..., Any],
    gradients: Callable[..., Any],
    family: str,
    seed: int,
    root: int,
) -> None:
    trainer = make_trainer(pairs[family].base, max_tokens=100)
    assert isinstance(trainer.policy, LoraPolicy)
    theirs = pairs[family].fresh(trainer.policy.adapters)
    data = with_old_logps(random_data(seed, root=root), theirs, noise=0.02)
    assert {bool(tree.stem) for tree in trainer._pack(data)} == {root == STEMMED}
    loss = plain_loss(theirs, data, SETTINGS)
    loss.backward()
    done = gradients(trainer, data, SETTINGS)
    assert done.loss == pytest.approx(loss.item(), rel=1e-4)
    for ours, expected in zip(done.gradients, adapter_gradients(theirs, trainer.policy.adapters), strict=True):
        assert expected.norm() > 0
        assert relative(ours, expected) < TOLERANCE


def test_long_branches_and_roots_and_strangers_equal_plain_autograd(
    pair: Pair, make_trainer: Callable[..., Any], gradients: Callable[..., Any]
) -> None:
    """Longer than the pieces that attention is cut into; and a batch whose sequences have nothing in common."""
    trainer = make_trainer(pair.base, max_tokens=4000)
    theirs = pair.fresh(trainer.policy.adapters)
    for batch in (
        random_data(7, root=QUERIES + 30, longest=2 * QUERIES + 50),
        random_data(8) + random_data(9, root=20),
    ):
        data = with_old_logps(batch, theirs, noise=0.02)
        theirs.zero_grad()
        plain_loss(theirs, data, SETTINGS).backward()
        expected = adapter_gradients(theirs, trainer.policy.adapters)
        for a, b in zip(gradients(trainer, data, SETTINGS).gradients, expected, strict=True):
            assert relative(a, b) < TOLERANCE


@pytest.mark.parametrize("root", [12, STEMMED])
@pytest.mark.parametrize("family", FAMILIES)
def test_gradients_of_all_weights_equal_plain_autograd(
    pairs: dict[str, Pair], make_trainer: Callable[..., Any], gradients: Callable[..., Any], family: str, root: int
) -> None:
    trainer = make_trainer(pairs[family].base, full=True, max_tokens=100)
    theirs = pairs[family].fresh()
    data = with_old_logps(random_data(3, root=root), theirs, noise=0.02)
    loss = plain_loss(theirs, data, SETTINGS)
    loss.backward()
    done = gradients(trainer, data, SETTINGS)
    assert isinstance(trainer.policy, FullPolicy)
    left = iter(done.gradients)
    ours = map_weights(trainer.policy.masters, lambda tensor: next(left))
    assert done.loss == pytest.approx(loss.item(), rel=1e-4)
    assert relative(ours.embedding_VH, theirs.get_parameter("model.embed_tokens.weight").grad) < TOLERANCE
    assert relative(ours.norm_H, theirs.get_parameter("model.norm.weight").grad) < TOLERANCE
    if family == "llama":
        assert relative(ours.head_VH, theirs.get_parameter("lm_head.weight").grad) < TOLERANCE
    for index, layer in enumerate(ours.layers):
        for name in FUSED:
            assert relative(layer.linear[name], fused(theirs, index, name)) < TOLERANCE
        for name in layer.bias:
            assert relative(layer.bias[name], fused(theirs, index, name, kind="bias")) < TOLERANCE
        norms = {"input_layernorm": layer.norm_attention_H, "post_attention_layernorm": layer.norm_mlp_H}
        norms |= (
            {} if layer.norm_q_D is None else {"self_attn.q_norm": layer.norm_q_D, "self_attn.k_norm": layer.norm_k_D}
        )
        for name, found in norms.items():
            assert relative(found, theirs.get_parameter(f"model.layers.{index}.{name}.weight").grad) < TOLERANCE


@pytest.mark.parametrize("root", [12, STEMMED])
@pytest.mark.parametrize("loss", ALL_LOSSES)
def test_micro_batches_and_threads_change_no_result(
    pair: Pair, make_trainer: Callable[..., Any], gradients: Callable[..., Any], loss: Loss | None, root: int
) -> None:
    settings = replace(SETTINGS, loss=loss)
    whole = make_trainer(pair.base)
    data = with_old_logps(random_data(5, root=root), pair.fresh(whole.policy.adapters), noise=0.02)
    expected = gradients(whole, data, settings)
    assert expected.sums["nominal_tokens"] > expected.sums["unique_tokens"]
    for arrangement in ({"max_tokens": 60}, {"max_tokens": 1}, {"threads": 2}, {"max_tokens": 60, "threads": 3}):
        done = gradients(make_trainer(pair.base, **arrangement), data, settings)
        assert done.loss == pytest.approx(expected.loss, rel=1e-5, abs=1e-7)
        for a, b in zip(done.gradients, expected.gradients, strict=True):
            assert relative(a, b) < TOLERANCE


@pytest.mark.parametrize("loss", ALL_LOSSES)
def test_every_loss_equals_plain_autograd(
    pair: Pair, make_trainer: Callable[..., Any], gradients: Callable[..., Any], loss: Loss | None
) -> None:
    settings = replace(SETTINGS, loss=loss)
    trainer = make_trainer(pair.base, max_tokens=80)
    theirs = pair.fresh(trainer.policy.adapters)
    data = with_old_logps(random_data(6), theirs, noise=0.02)
    expected = plain_loss(theirs, data, settings)
    expected.backward()
    done = gradients(trainer, data, settings)
    assert done.loss == pytest.approx(expected.item(), rel=1e-4, abs=1e-6)
    found = adapter_gradients(theirs, trainer.policy.adapters)
    assert (
        relative(torch.cat([g.flatten() for g in done.gradients]), torch.cat([g.flatten() for g in found])) < TOLERANCE
    )


def test_the_same_batch_gives_the_same_bits_on_threads(
    pair: Pair, make_trainer: Callable[..., Any], gradients: Callable[..., Any]
) -> None:
    data = with_old_logps(random_data(5), pair.theirs, noise=0.02)
    one, two = (gradients(make_trainer(pair.base, threads=2, max_tokens=60), data, SETTINGS) for _ in range(2))
    assert one.loss == two.loss
    assert all(torch.equal(a, b) for a, b in zip(one.gradients, two.gradients, strict=True))
