from math import exp, log
from typing import Any

import pytest
import torch

from agentrft.domain.training import Loss
from agentrft.training.losses import LOSSES, Actions, cispo, dapo, dr_grpo, grpo, gspo, guard_mask, rft_v1, trust_mask

NEW, OLD = (0.42, 0.40, 0.20), (0.40, 0.40, 0.21)
RATIOS = (1.05, 1.0, 0.2 / 0.21)


def actions(
    new: tuple[float, ...] = NEW,
    old: tuple[float, ...] = OLD,
    *,
    advantages: tuple[float, ...] = (2.0, -1.0),
    **given: Any,
) -> Actions:
    """Probabilities by token; the last token is a sequence of its own, those before it another."""
    rows = [0] * (len(new) - 1) + [1]
    return Actions(**{
        "logp_A": torch.tensor([log(p) for p in new], requires_grad=True),
        "old_logp_A": torch.tensor([log(p) for p in old]),
        "advantage_A": torch.tensor([advantages[row] for row in rows]),
        "row_A": torch.tensor(rows),
        "length_n": torch.tensor([len(new) - 1, 1]),
        "sequences": 2,
        "tokens": len(new),
        "normaliser": 10.0,
    } | given)  # fmt: skip


def one(new: float, old: float, advantage: float) -> Actions:
    """A single token, and one beside it on which nothing depends."""
    return actions((new, 0.5), (old, 0.5), advantages=(advantage, 0.0), tokens=1, sequences=1, normaliser=1.0)


def gradient(loss: Loss, given: Actions) -> list[float]:
    (found,) = torch.autograd.grad(LOSSES[loss](given), given.logp_A)
    return [float(value) for value in found]


def test_every_loss_that_users_can_name_is_there() -> None:
    assert set(LOSSES) == set(Loss)


def test_rft_v1_weighs_reinforce_by_the_detached_ratio() -> None:
    expected = -(RATIOS[0] * 2 * log(0.42) + RATIOS[1] * 2 * log(0.40) - RATIOS[2] * log(0.20)) / 10
    assert rft_v1(actions()).item() == pytest.approx(expected, rel=1e-5)
    assert gradient(Loss.RFT_V1, actions()) == pytest.approx(
        [-RATIOS[0] * 2 / 10, -RATIOS[1] * 2 / 10, RATIOS[2] / 10], rel=1e-5
    )


def test_grpo_averages_over_each_sequence_and_then_over_sequences() -> None:
    expected = -((RATIOS[0] * 2 + RATIOS[1] * 2) / 2 - RATIOS[2]) / 2
    assert grpo(actions()).item() == pytest.approx(expected, rel=1e-5)


def test_dr_grpo_divides_by_a_constant() -> None:
    assert dr_grpo(actions()).item() == pytest.approx(-(RATIOS[0] * 2 + 2 - RATIOS[2]) / 10, rel=1e-5)


def test_dapo_averages_over_all_tokens() -> None:
    assert dapo(actions()).item() == pytest.approx(-(RATIOS[0] * 2 + 2 - RATIOS[2]) / 3, rel=1e-5)


def test_gspo_has_one_narrowly_clipped_ratio_a_sequence() -> None:
    expected = -(min(1.05**0.5, 1 + 4e-4) * 2 - max(RATIOS[2], 1 - 3e-4)) / 2
    assert gspo(actions()).item() == pytest.approx(expected, rel=1e-5)
    inside = actions((0.40004, 0.4, 0.2), (0.4, 0.4, 0.2))
    ratio = exp((log(0.40004) - log(0.4)) / 2)
    assert gspo(inside).item() == pytest.approx(-(ratio * 2 - 1) / 2, rel=1e-5)


def test_cispo_caps_the_weight_and_keeps_the_gradient() -> None:
    assert cispo(one(0.6, 0.06, 1.0)).item() == pytest.approx(-5 * log(0.6), rel=1e-5)
    assert gradient(Loss.CISPO, one(0.6, 0.06, 1.0))[0] == pytest.approx(-5.0, rel=1e-5)
    assert cispo(actions()).item() == pytest.approx(
        -(RATIOS[0] * 2 * log(0.42) + 2 * log(0.40) - RATIOS[2] * log(0.20)) / 3, rel=1e-5
    )


@pytest.mark.parametrize(
    ("loss", "new", "advantage", "value", "flat"),
    [
        (grpo, 0.6, 1.0, -1.2, True),
        (grpo, 0.6, -1.0, 1.5, False),
        (grpo, 0.2, 1.0, -0.5, False),
        (grpo, 0.2, -1.0, 0.8, True),
        (dapo, 0.6, 1.0, -1.28, True),
        (dapo, 0.2, -1.0, 0.8, True),
        (dr_grpo, 0.6, 1.0, -1.2, True),
    ],
)
def test_a_clipped_ratio_takes_the_worse_of_both(
    loss: Any, new: float, advantage: float, value: float, flat: bool
) -> None:
    given = one(new, 0.4, advantage)
    result = loss(given)
    assert result.item() == pytest.approx(value, rel=1e-5)
    (found,) = torch.autograd.grad(result, given.logp_A)
    assert (float(found[0]) == 0.0) is flat


def test_rft_v1_leaves_out_tokens_that_moved_too_far_where_they_are_pushed() -> None:
    advantage = torch.tensor([1.0, 1.0, -1.0, -1.0, 1.0, 0.0])
    change = torch.tensor([0.25, -0.25, -0.25, 0.25, 0.15, 0.9])
    assert trust_mask(advantage, change).tolist() == [False, True, False, True, True, True]
    far = actions((0.95, 0.30, 0.20), (0.70, 0.40, 0.20))  # its sequence's mean ratio is near 1
    assert gradient(Loss.RFT_V1, far)[0] == 0.0
    assert gradient(Loss.RFT_V1, far)[1] != 0.0


@pytest.mark.parametrize(
    ("new", "old", "kept"),
    [
        ((0.42, 0.40, 0.2), (0.40, 0.40, 0.2), [True, True]),
        ((0.50, 0.40, 0.2), (0.40, 0.40, 0.2), [False, True]),  # geometric mean 1.118
        ((0.40, 0.32, 0.2), (0.40, 0.40, 0.2), [False, True]),  # 0.894
        ((0.44, 0.36, 0.1), (0.40, 0.40, 0.2), [True, False]),
        ((1e-6, 0.9, 0.2), (0.1, 8e-6, 0.2), [False, True]),  # mean 1, but both tokens are beyond belief
    ],
)
def test_sequences_on_which_sampler_and_trainer_disagree_are_guarded(
    new: tuple[float, ...], old: tuple[float, ...], kept: list[bool]
) -> None:
    given = actions(new, old)
    assert guard_mask(given).tolist() == kept
    assert [value != 0.0 for value in gradient(Loss.RFT_V1, given)] == [kept[0], kept[0], kept[1]]


def test_importance_weights_of_rft_v1_are_capped() -> None:
    """A long sequence may hold one token with a large ratio."""
    count = 60
    given = actions((*([0.5] * count), 0.09, 0.5), (*([0.5] * count), 0.01, 0.5), advantages=(1.0, 1.0), normaliser=1.0)
    assert guard_mask(given).tolist() == [True, True]
    assert gradient(Loss.RFT_V1, given)[count] == pytest.approx(-5.0, rel=1e-5)


@pytest.mark.parametrize("loss", [Loss.RFT_V1, Loss.DR_GRPO])
def test_the_normaliser_is_a_constant_of_the_batch(loss: Loss) -> None:
    once, twice = actions(normaliser=10.0), actions(normaliser=20.0)
    assert gradient(loss, once) == pytest.approx([2 * value for value in gradient(loss, twice)])
