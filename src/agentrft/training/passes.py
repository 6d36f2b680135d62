"""Forward pass over one packed tree, and the log-probabilities of its action tokens.

Shapes: N packed tokens, H hidden size, U distinct action tokens of the tree, A action tokens of all rows.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from agentrft.modeling.network import Rotary, apply_layer
from agentrft.modeling.operations import rms_norm
from agentrft.training.attention import TreeAttention, plan_attention
from agentrft.training.logprobs import SelectedLogps
from agentrft.training.policy import Policy
from agentrft.training.tree import Tree


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeLogps:
    """Per action token of every row, rows in the tree's order. A token shared by rows is computed once."""

    logp_A: Tensor
    entropy_A: Tensor
    weight_A: Tensor
    row_A: Tensor


def tree_logps(policy: Policy, tree: Tree, rotary: Rotary) -> TreeLogps:
    """Log-probabilities of all tokens with a weight."""
    config, device = policy.base.config, policy.base.embedding_VH.device
    network = policy.network()
    plan = plan_attention(tree, network.embedding_VH.dtype, device)
    scale = config.head_dim**-0.5

    def attend(q_NQD: Tensor, k_NKD: Tensor, v_NKD: Tensor) -> Tensor:
        out: Tensor = TreeAttention.apply(q_NQD * scale, k_NKD, v_NKD, plan)
        return out

    rotation = rotary(torch.tensor(tree.positions_N, device=device))
    x_NH = F.embedding(torch.tensor(tree.ids_N, device=device), network.embedding_VH)
    for layer in policy.layers():
        x_NH = apply_layer(x_NH, layer, config, rotation, attend)

    wanted = _wanted(tree)
    nodes = sorted({node for node, _, _, _ in wanted})
    parent = {node: parent for node, parent, _, _ in wanted}
    place = {node: index for index, node in enumerate(nodes)}
    states_UH = x_NH[torch.tensor([parent[node] for node in nodes], device=device)]
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


def _wanted(tree: Tree) -> list[tuple[int, int, float, int]]:
    """(packed index, parent's packed index, weight, row) of every token with a weight; a first token has no parent."""
    return [
        (row.path[position], row.path[position - 1], weight, index)
        for index, row in enumerate(tree.rows)
        for position, weight in enumerate(row.datum.weights)
        if weight and position
    ]
