"""Documents that begin inside a window: their lanes start anew, whatever unrolls the steps between.

T time steps · B lanes · H hidden size
"""

from collections.abc import Callable

import torch
from torch import Tensor

from charlm.cells import Cell, State


def begin(cell: Cell, state: State, begins_B: Tensor) -> State:
    """The state before a step: the cell's initial one in the lanes where a document begins.

    Args:
        cell: whose state it is.
        state: after the step before, [B, H] each. No gradient flows to it where it is replaced.
        begins_B: bool.
    """
    initial = cell.initial_state(len(begins_B))
    return tuple(
        torch.where(begins_B.unsqueeze(1), start.to(part.dtype), part)
        for start, part in zip(initial, state, strict=True)
    )


def unroll(
    between: Callable[[Cell, Tensor, State], tuple[Tensor, State]],
    cell: Cell,
    inputs: Tensor,
    state: State,
    begins_TB: Tensor,
) -> tuple[Tensor, State]:
    """What ``eager`` gives with ``begins_TB``: the window is cut at the steps where a lane begins.

    Args:
        between: unrolls the steps from one cut to the next.
        cell, inputs, state, begins_TB: see ``charlm.recurrence.unroll``.
    """
    begin_steps = begins_TB.any(dim=1).nonzero().flatten().tolist()
    starts = sorted({0, *begin_steps})
    outputs = []
    for start, end in zip(starts, [*starts[1:], len(begins_TB)], strict=True):
        if start in begin_steps:
            state = begin(cell, state, begins_TB[start])
        outputs_TBH, state = between(cell, inputs[start:end], state)
        outputs.append(outputs_TBH)
    return (outputs[0] if len(outputs) == 1 else torch.cat(outputs)), state
