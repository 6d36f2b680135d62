import torch

from agentrft.training.logprobs import CHUNK, SelectedLogps


def test_values_and_gradients_equal_the_plain_computation_over_several_chunks() -> None:
    generator = torch.Generator().manual_seed(0)
    states = torch.randn(CHUNK + 9, 12, generator=generator, requires_grad=True)
    head = torch.randn(50, 12, generator=generator, requires_grad=True)
    targets = torch.randint(0, 50, (CHUNK + 9,), generator=generator)
    upstream = torch.linspace(-1, 2, CHUNK + 9)
    logps, entropies = SelectedLogps.apply(states, head, targets)
    plain = torch.log_softmax(states @ head.T, -1)
    torch.testing.assert_close(logps, plain.gather(1, targets[:, None])[:, 0])
    torch.testing.assert_close(entropies, -(plain.exp() * plain).sum(-1), rtol=1e-4, atol=1e-4)
    ours = torch.autograd.grad(logps, (states, head), upstream)
    expected = torch.autograd.grad(plain.gather(1, targets[:, None])[:, 0], (states, head), upstream)
    for a, b in zip(ours, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)
    assert not entropies.requires_grad
