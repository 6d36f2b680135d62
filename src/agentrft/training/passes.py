"""Forward pass over one packed tree, and the log-probabilities of its action tokens.

Shapes: N packed tokens, P those of the stem (tree.py), M the others with padding, K key-value heads, D head size, H
hidden size, U distinct action tokens of the tree, A action tokens of all rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from agentrft.modeling.network import Rotary, apply_layer
from agentrft.modeling.operations import rms_norm
from agentrft.modeling.weights import BaseWeights
from agentrft.training.attention import TreeAttention, padded, plan_attention
from agentrft.training.logprobs import SelectedLogps
from agentrft.training.policy import Policy
from agentrft.training.tree import Tree, stem_tree


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeLogps:
    """Per action token of every row, rows in the tree's order. A token shared by rows is computed once."""

    logp_A: Tensor
    entropy_A: Tensor
    weight_A: Tensor
    row_A: Tensor


class Stem:
    """Keys and values of the tokens that all trees of a batch begin with, computed once, and their gradients.

    Each tree attends to `leaves`; what the trees find is added up and goes through the stem's own pass in `gradients`.
    """

    def __init__(self, policy: Policy, tree: Tree, rotary: Rotary) -> None:
        self._parameters = policy.parameters()
        self._found: list[Tensor] = []
        pairs: list[tuple[Tensor, Tensor]] = []
        _states(policy, policy.network(), stem_tree(tree), rotary, [], pairs)
        self._computed = [tensor for pair in pairs for tensor in pair]
        self.leaves = [tensor.detach().requires_grad_() for tensor in self._computed]

    def add(self, gradients: Sequence[Tensor]) -> None:
        """What one tree has found for `leaves`."""
        if not self._found:
            self._found = [torch.zeros(tensor.shape, device=tensor.device) for tensor in self.leaves]
        for mine, new in zip(self._found, gradients, strict=True):
            mine += new

    def gradients(self) -> list[Tensor]:
        """For every parameter of the policy. Once only: it frees what the pass kept."""
        found = [tensor.to(leaf.dtype) for tensor, leaf in zip(self._found, self.leaves, strict=True)]
        gradients = torch.autograd.grad(self._computed, self._parameters, found, allow_unused=True)
        pairs = zip(gradients, self._parameters, strict=True)
        return [torch.zeros_like(parameter) if got is None else got for got, parameter in pairs]


def tree_logps(policy: Policy, tree: Tree, rotary: Rotary, stem: Sequence[Tensor] = ()) -> TreeLogps:
    """Log-probabilities of all tokens with a weight. `stem`: by layer, keys and values [P, K, D] of the tree's stem."""
    config, device = policy.base.config, policy.base.embedding_VH.device
    network = policy.network()
    x_MH = _states(policy, network, tree, rotary, stem, [])
    wanted = _wanted(tree)
    nodes = sorted({node for node, _, _, _ in wanted})
    parent = {node: parent for node, parent, _, _ in wanted}
    place = {node: index for index, node in enumerate(nodes)}
    states_UH = x_MH[torch.tensor([parent[node] - tree.stem for node in nodes], device=device)]
    states_UH = rms_norm(states_UH, network.norm_H, config.norm_eps)
    targets_U = torch.tensor([tree.ids_N[node] for node in nodes], device=device)
    logp_U, entropy_U = SelectedLogps.apply(states_UH, network.head_VH, targets_U)
    index_A = torch.tensor([place[node] for node, _, _, _ in wanted], device=device)
    return TreeLogps(
        logp_A=logp_U[index_A],
        entropy_A=entropy_U[index_A],
        weight_A=torch.tensor([weight for _, _, weight, _ in wanted], device=device),
        row_A=torch.tensor([row for _, _, _, row in wanted], device=device),
    )


def _states(
    policy: Policy,
    network: BaseWeights,
    tree: Tree,
    rotary: Rotary,
    stem: Sequence[Tensor],
    pairs: list[tuple[Tensor, Tensor]],
) -> Tensor:
    """The last layer's states [M, H] of the tokens behind the stem. `pairs` takes their keys and values, by layer."""
    config = network.config
    device = network.embedding_VH.device
    plan = plan_attention(tree, device)
    padding = (0,) * (padded(tree.fresh) - tree.fresh)

    def attend(q_MQD: Tensor, k_MKD: Tensor, v_MKD: Tensor) -> Tensor:
        before = stem[2 * len(pairs) : 2 * len(pairs) + 2]
        pairs.append((k_MKD[: tree.fresh], v_MKD[: tree.fresh]))
        k_NKD, v_NKD = (torch.cat([*before[i : i + 1], new]) for i, new in enumerate((k_MKD, v_MKD)))
        out: Tensor = TreeAttention.apply(q_MQD, k_NKD, v_NKD, plan)
        return out

    rotation = rotary(torch.tensor(tree.positions_N[tree.stem :] + padding, device=device))
    x_MH = F.embedding(torch.tensor(tree.ids_N[tree.stem :] + padding, device=device), network.embedding_VH)
    for layer in policy.layers():
        x_MH = apply_layer(x_MH, layer, config, rotation, attend)
    return x_MH


def _wanted(tree: Tree) -> list[tuple[int, int, float, int]]:
    """(packed index, parent's packed index, weight, row) of every token with a weight; a first token has no parent."""
    return [
        (row.path[position], row.path[position - 1], weight, index)
        for index, row in enumerate(tree.rows)
        for position, weight in enumerate(row.datum.weights)
        if weight and position
    ]
