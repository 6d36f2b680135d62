from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from agentrft.modeling.operations import gated_silu, rms_norm, split_rotated

EPS = 1e-5


def plain_norm(x: Tensor, weight: Tensor) -> Tensor:
    return x * (x.pow(2).mean(-1, keepdim=True) + EPS).rsqrt() * weight


def plain_silu(x: Tensor) -> Tensor:
    gate, up = x.chunk(2, dim=-1)
    return F.silu(gate) * up


def plain_split(qkv: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    q, k, v = qkv.view(7, -1, 24).split([3, 2, 2], dim=1)
    turned = []
    for x in (q, k):
        a, b = x.chunk(2, dim=-1)
        c, s = cos[:, None], sin[:, None]
        turned.append(torch.cat([a * c - b * s, b * c + a * s], dim=-1))
    return torch.cat([*turned, v], dim=1)


def operands(name: str) -> list[Tensor]:
    generator = torch.Generator().manual_seed(3)
    random = lambda *shape: torch.randn(*shape, generator=generator)  # noqa: E731
    if name == "norm":
        return [random(7, 24), 1 + 0.1 * random(24)]
    if name == "norm of heads":
        return [random(7, 3, 24), 1 + 0.1 * random(24)]
    if name == "silu":
        return [random(7, 40)]
    angle = random(7, 12)
    return [random(7, 7 * 24), angle.cos(), angle.sin()]


CASES: list[tuple[str, Callable[..., Tensor], Callable[..., Tensor], int]] = [
    ("norm", lambda x, w: rms_norm(x, w, EPS), plain_norm, 2),
    ("norm of heads", lambda x, w: rms_norm(x, w, EPS), plain_norm, 2),
    ("silu", gated_silu, plain_silu, 1),
    ("split", lambda x, cos, sin: torch.cat(split_rotated(x, (cos, sin), 3, 2), dim=1), plain_split, 1),
]


@pytest.mark.parametrize(("name", "ours", "plain", "learned"), CASES, ids=[case[0] for case in CASES])
def test_values_and_gradients_equal_the_plain_operations(
    name: str, ours: Callable[..., Tensor], plain: Callable[..., Tensor], learned: int
) -> None:
    found: list[list[Tensor]] = []
    for operation in (ours, plain):
        given = operands(name)
        wanted = [given[index].requires_grad_() for index in range(learned)]
        out = operation(*given)
        upstream = torch.linspace(-1, 2, out.numel()).view(out.shape)
        found.append([out, *torch.autograd.grad(out, wanted, upstream)])
        for before, after in zip(operands(name), given, strict=True):
            assert torch.equal(before, after)  # autograd may still need them elsewhere
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("name", "ours", "plain", "learned"), CASES, ids=[case[0] for case in CASES])
def test_the_sampler_computes_the_same_bits_as_the_trainer(
    name: str, ours: Callable[..., Tensor], plain: Callable[..., Tensor], learned: int
) -> None:
    given = [tensor.bfloat16() for tensor in operands(name)]
    with torch.inference_mode():
        without = ours(*given)
    with_gradient = ours(given[0].clone().requires_grad_(), *given[1:])
    assert torch.equal(without, with_gradient)


def test_a_frozen_norm_weight_takes_no_gradient() -> None:
    x, weight = operands("norm")
    out = rms_norm(x.requires_grad_(), weight, EPS)
    out.sum().backward()
    assert weight.grad is None
    assert x.grad is not None


@pytest.mark.parametrize(("name", "ours", "plain", "learned"), CASES, ids=[case[0] for case in CASES])
def test_in_another_dtype_torch_computes_the_same(
    name: str, ours: Callable[..., Tensor], plain: Callable[..., Tensor], learned: int
) -> None:
    given = [tensor.double() for tensor in operands(name)]
    torch.testing.assert_close(ours(*given), plain(*given))


@pytest.mark.parametrize(("name", "ours", "plain", "learned"), CASES, ids=[case[0] for case in CASES])
def test_in_bf16_each_result_is_the_exact_one_rounded_once(
    name: str, ours: Callable[..., Tensor], plain: Callable[..., Tensor], learned: int
) -> None:
    given = [tensor.bfloat16() for tensor in operands(name)]
    exact = plain(*(tensor.double() for tensor in given))
    torch.testing.assert_close(ours(*given).double(), exact.bfloat16().double(), rtol=2**-8, atol=1e-6)


def test_what_is_not_a_number_stays_so() -> None:
    x = torch.full((1, 40), float("nan"), dtype=torch.bfloat16)
    assert gated_silu(x).isnan().all()
