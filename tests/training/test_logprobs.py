import torch

from agentrft.training.logprobs import BLOCK, ROWS, SelectedLogps


def test_values_and_gradients_equal_the_plain_computation_over_several_blocks() -> None:
    generator = torch.Generator().manual_seed(0)
    tokens, vocabulary = ROWS + 9, 2 * BLOCK + 100
    states = torch.randn(tokens, 12, generator=generator, requires_grad=True)
    head = (3.0 * torch.randn(vocabulary, 12, generator=generator)).requires_grad_()
    targets = torch.randint(0, vocabulary, (tokens,), generator=generator)
    upstream = torch.linspace(-1, 2, tokens)
    logps, entropies = SelectedLogps.apply(states, head, targets)
    plain = torch.log_softmax(states @ head.T, -1)
    torch.testing.assert_close(logps, plain.gather(1, targets[:, None])[:, 0])
    torch.testing.assert_close(entropies, -(plain.exp() * plain).sum(-1), rtol=1e-4, atol=1e-4)
    ours = torch.autograd.grad(logps, (states, head), upstream)
    expected = torch.autograd.grad(plain.gather(1, targets[:, None])[:, 0], (states, head), upstream)
    for a, b in zip(ours, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)
    assert not entropies.requires_grad
