"""The loop a reader expects, one cell step after another: the specification of every backend."""

import torch
from torch import Tensor

from charlm.cells import Cell, State
from charlm.recurrence.precision import in_one_type


def unroll(cell: Cell, inputs: Tensor, state: State) -> tuple[Tensor, State]:
    """Run ``cell`` over T time steps; autograd derives the backward pass.

    Args:
        inputs: symbol ids [T, B], or vectors [T, B, I].
        state: the state before the first step, [B, H] each.

    Returns:
        outputs [T, B, H] and the state after the last step; under autocast all in its type.
    """
    preactivations_TBG, *state_BH = in_one_type(cell.project(inputs), *state)
    state, outputs = tuple(state_BH), []
    for preactivation_BG in preactivations_TBG:
        state = cell.step(preactivation_BG, state)
        outputs.append(state[0])
    return torch.stack(outputs), state
