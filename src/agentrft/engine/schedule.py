"""The learning rate of a step: a few steps of warm-up, then a straight line to the end."""

from agentrft.domain.job import Optimizer


def learning_rate(optimizer: Optimizer, *, step: int, total_steps: int) -> float:
    """The rate at `step`, counted from 1 to `total_steps`.

    It grows by equal parts to its full value at `warmup_steps`, and then falls to `decay_to` of it at the last step.
    """
    warmup = optimizer.warmup_steps
    if step <= warmup:
        return optimizer.learning_rate * step / warmup
    passed = (step - warmup) / max(1, total_steps - warmup)
    return optimizer.learning_rate * (1.0 - (1.0 - optimizer.decay_to) * passed)
