import math

import pytest
import torch

from agentrft.sampling.draw import draw, restrict_top_p

SIZES = [1, 5, 127, 128, 129, 300, 1000]


def some_logits(size: int, rows: int = 1) -> torch.Tensor:
    return 2 * torch.randn(rows, size, generator=torch.Generator().manual_seed(size))


@pytest.mark.parametrize("size", SIZES)
def test_evenly_spread_numbers_draw_each_token_in_its_share(size: int) -> None:
    count = 4000
    logits = some_logits(size)
    uniform = (torch.arange(count, dtype=torch.float64) + 0.5) / count
    ids, logps = draw(logits.repeat(count, 1), uniform)
    drawn = torch.bincount(ids, minlength=size).double()
    assert (drawn - count * logits[0].double().softmax(0)).abs().max() <= 1.001
    torch.testing.assert_close(logps, logits[0].log_softmax(0)[ids], rtol=0, atol=1e-5)


@pytest.mark.parametrize("size", [130, 300])
def test_random_numbers_draw_from_the_distribution(size: int) -> None:
    """Chi-square over the tokens that are expected often enough, the others as one."""
    count = 20_000
    logits = some_logits(size)
    uniform = torch.rand(count, generator=torch.Generator().manual_seed(5))
    ids, _ = draw(logits.expand(count, -1).clone(), uniform)
    expected = count * logits[0].double().softmax(0)
    drawn = torch.bincount(ids, minlength=size).double()
    often = expected >= 5
    observed = torch.cat([drawn[often], drawn[~often].sum()[None]])
    wanted = torch.cat([expected[often], expected[~often].sum()[None]])
    freedom = len(wanted) - 1
    chi = float(((observed - wanted) ** 2 / wanted).sum())
    assert chi < freedom + 5 * math.sqrt(2 * freedom)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("uniform", [0.0, 1 - 2**-24, 1 - 2**-53])
def test_the_ends_of_the_interval_give_tokens_that_can_be_drawn(size: int, uniform: float) -> None:
    logits = some_logits(size)
    allowed = torch.zeros(size, dtype=torch.bool)
    allowed[[size // 3, size // 2]] = True  # whole blocks before and behind them have no mass
    logits[0, ~allowed] = float("-inf")
    ids, logps = draw(logits.clone(), torch.tensor([uniform], dtype=torch.float64))
    assert ids.item() == (size // 3 if uniform == 0.0 else size // 2)
    assert math.isfinite(logps.item())


def test_rows_do_not_see_each_other() -> None:
    logits, uniform = some_logits(300, rows=6), torch.rand(6, generator=torch.Generator().manual_seed(1))
    together, logps = draw(logits.clone(), uniform)
    alone = [draw(logits[i : i + 1].clone(), uniform[i : i + 1]) for i in range(6)]
    assert together.tolist() == [ids.item() for ids, _ in alone]
    assert logps.tolist() == [logp.item() for _, logp in alone]


def test_a_nucleus_holds_the_likeliest_tokens_up_to_its_mass() -> None:
    probabilities = torch.tensor([[0.1, 0.5, 0.15, 0.25], [0.1, 0.5, 0.15, 0.25], [0.25, 0.25, 0.25, 0.25]])
    cut = restrict_top_p(probabilities.log(), torch.tensor([0.6, 0.01, 1.0]))
    assert cut.isfinite().tolist() == [
        [False, True, False, True], [False, True, False, False], [True, True, True, True],
    ]  # fmt: skip
    torch.testing.assert_close(cut[0].softmax(0), torch.tensor([0, 2 / 3, 0, 1 / 3]))
