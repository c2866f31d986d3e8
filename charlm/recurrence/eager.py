"""The loop a reader expects, one cell step after another: the specification of every backend."""

import torch
from torch import Tensor

from charlm.cells import Cell, State
from charlm.recurrence.documents import begin
from charlm.recurrence.precision import mixed


def unroll(
    cell: Cell, inputs: Tensor, state: State, begins_TB: Tensor | None = None
) -> tuple[Tensor, State]:
    """Run ``cell`` over T time steps; autograd derives the backward pass.

    Args:
        inputs: symbol ids [T, B], or vectors [T, B, I].
        state: the state before the first step, [B, H] each.
        begins_TB: where a document begins (bool): there the state before the step is the cell's
            initial one. None: nowhere.

    Returns:
        outputs [T, B, H] and the state after the last step, its parts in the types that
        ``charlm.recurrence.precision`` gives them.
    """
    preactivations_TBG, state = mixed(cell, cell.project(inputs), state)
    dtypes, outputs = [part.dtype for part in state], []
    for t, preactivation_BG in enumerate(preactivations_TBG):
        if begins_TB is not None:
            state = begin(cell, state, begins_TB[t])
        state = cell.step(preactivation_BG, state)
        state = tuple(part.to(dtype) for part, dtype in zip(state, dtypes, strict=True))
        outputs.append(state[0])
    return torch.stack(outputs), state
