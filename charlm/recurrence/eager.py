"""The loop a reader expects, one cell step after another: the specification of every backend."""

import torch
from torch import Tensor

from charlm.cells import Cell, State


def unroll(cell: Cell, inputs: Tensor, state: State) -> tuple[Tensor, State]:
    """Run ``cell`` over T time steps; autograd derives the backward pass.

    Args:
        inputs: symbol ids [T, B], or vectors [T, B, I].
        state: the state before the first step, [B, H] each.

    Returns:
        outputs [T, B, H] and the state after the last step.
    """
    outputs = []
    for preactivation_BG in cell.project(inputs):
        state = cell.step(preactivation_BG, state)
        outputs.append(state[0])
    return torch.stack(outputs), state
