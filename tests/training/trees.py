"""Random data that share beginnings, and what plain autograd makes of them: each by itself, through transformers."""

import random
from collections.abc import Sequence
from dataclasses import replace

import torch
import transformers
from torch import Tensor

from agentrft.domain.training import Datum, UpdateSettings
from agentrft.modeling.adapters import Adapters
from agentrft.modeling.weights import FUSED
from agentrft.training.losses import LOSSES, Actions
from tests.modeling.tiny import reference_logps, some_ids

Model = transformers.PreTrainedModel


def random_data(seed: int, *, sequences: int = 7, root: int = 12, longest: int = 30) -> list[Datum]:
    """Sequences that branch at random places; one is there twice and one is the beginning of another."""
    dice = random.Random(seed)
    paths = [some_ids(root + dice.randint(4, longest), seed=seed)]
    while len(paths) < sequences - 2:
        stem = dice.choice(paths)
        cut = dice.randint(root, len(stem))
        paths.append([*stem[:cut], *some_ids(dice.randint(3, longest), seed=dice.randrange(10**6))])
    paths += [paths[1], paths[-1][:-2]]
    data = []
    for ids in paths:
        weights = [0.0] * (root - 3) + [float(dice.random() < 0.6) for _ in ids[root - 3 : -1]] + [1.0]
        data.append(Datum(ids=tuple(ids), weights=tuple(weights), advantage=dice.choice([-1.0, 0.5, 1.5])))
    return data


def with_old_logps(data: Sequence[Datum], model: Model, *, noise: float, seed: int = 0) -> list[Datum]:
    """As if sampled from weights a little away from those of `model`."""
    generator = torch.Generator().manual_seed(seed)
    found = []
    for datum in data:
        logps = reference_logps(model, datum.ids)
        logps = logps + noise * torch.randn(logps.shape, generator=generator)
        found.append(replace(datum, old_logps=(0.0, *logps.tolist())))
    return found


def plain_loss(model: Model, data: Sequence[Datum], settings: UpdateSettings) -> Tensor:
    """The loss of a batch without any sharing; gradients reach the model's parameters."""
    logps, old, weights, rows = [], [], [], []
    for row, datum in enumerate(data):
        ids = torch.tensor(datum.ids)
        logp = torch.log_softmax(model(ids[None]).logits[0, :-1].float(), -1).gather(1, ids[1:, None])[:, 0]
        chosen = torch.tensor(datum.weights[1:]) != 0
        logps.append(logp[chosen])
        weights.append(torch.tensor(datum.weights[1:])[chosen])
        old.append(torch.tensor(datum.old_logps[1:])[chosen] if datum.old_logps else torch.zeros(int(chosen.sum())))
        rows += [row] * int(chosen.sum())
    if settings.loss is None:
        return -(torch.cat(weights) * torch.cat(logps)).sum() / settings.normaliser
    row_A = torch.tensor(rows)
    actions = Actions(
        logp_A=torch.cat(logps),
        old_logp_A=torch.cat(old),
        advantage_A=torch.tensor([datum.advantage for datum in data])[row_A],
        row_A=row_A,
        length_n=torch.bincount(row_A, minlength=len(data)),
        sequences=len(data),
        tokens=len(rows),
        normaliser=settings.normaliser,
    )
    return LOSSES[settings.loss](actions)


def fused(model: Model, layer: int, name: str, *, kind: str = "weight", grad: bool = True) -> Tensor:
    """A fused layer's weights, or their gradients, put together from transformers' projections."""
    found = [model.get_parameter(f"model.layers.{layer}.{part}.{kind}") for part in FUSED[name]]
    return torch.cat([parameter.grad if grad and parameter.grad is not None else parameter for parameter in found])


@torch.no_grad()
def merge_into(model: Model, adapters: Adapters) -> None:
    """Add the adapters to transformers' weights."""
    for index, layer in enumerate(adapters.layers):
        for name, adapter in layer.items():
            parameters = [model.get_parameter(f"model.layers.{index}.{part}.weight") for part in FUSED[name]]
            delta = adapters.scale * adapter.b_Or @ adapter.a_rI
            for parameter, rows in zip(parameters, delta.split([p.shape[0] for p in parameters]), strict=True):
                parameter += rows


def adapter_gradients(model: Model, adapters: Adapters) -> list[Tensor]:
    """By the chain rule from the gradients of the merged weights, in the order of `adapters.parameters()`."""
    found = []
    for index, layer in enumerate(adapters.layers):
        for name in FUSED:
            d_weight, adapter = fused(model, index, name), layer[name]
            found += [
                adapters.scale * adapter.b_Or.detach().T @ d_weight,
                adapters.scale * d_weight @ adapter.a_rI.detach().T,
            ]
    return found


def relative(ours: Tensor, theirs: Tensor) -> float:
    return float((ours - theirs).norm() / theirs.norm().clamp_min(1e-12))
