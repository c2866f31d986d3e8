"""Back-propagation through time with the backward pass written out, cell by cell.

What the derivations share: the states of all T steps lie in one buffer that each step writes
in place; whatever doesn't depend on the recurrence is computed for all T steps at once; inside
the loop remain the products with W_hh and a few operations on [B, H]; the gradient by W_hh is one
product after the loop. The derivations stand at the head of each cell's file.

Where a document begins, the state before the step is zero, whatever the step before has left: none of
∂L/∂h flows on to that, and the rest of the derivation stands as it is.
"""

from collections.abc import Callable
from typing import Any

from torch import Tensor

from charlm.cells import GRU, LSTM, RNN, Cell, State
from charlm.recurrence import documents
from charlm.recurrence.bptt import gru, lstm, rnn
from charlm.recurrence.precision import mixed
from charlm.recurrence.products import project

# Exactly these classes: (the cell, its ``project``ed inputs x [T, B, G·H], which may be overwritten,
# the state before) -> the outputs [T, B, H] and the state after, all in the type of x.
UNROLLS: dict[type[Cell], Callable[[Any, Tensor, State], tuple[Tensor, State]]] = {
    RNN: rnn.unroll,
    GRU: gru.unroll,
    LSTM: lstm.unroll,
}
# Those that also take where documents begin, [T, B, 1]; for the others the window is cut there.
WITH_DOCUMENTS: dict[type[Cell], Callable[[Any, Tensor, State, Tensor], tuple[Tensor, State]]] = {
    RNN: rnn.unroll,
    GRU: gru.unroll,
    LSTM: lstm.unroll,
}


def serves(cell: Cell) -> bool:
    """Whether the cell's derivative is written out."""
    return type(cell) in UNROLLS


def unroll(
    cell: Cell, inputs: Tensor, state: State, begins_TB: Tensor | None = None
) -> tuple[Tensor, State]:
    """What ``eager`` gives, for a cell that this backend serves; it can be differentiated once.

    Args and returns: see ``charlm.recurrence.eager``.
    """
    if begins_TB is not None and type(cell) not in WITH_DOCUMENTS:
        return documents.unroll(unroll, cell, inputs, state, begins_TB)
    x_TBG, state = mixed(cell, project(cell, inputs), state)
    if begins_TB is None:
        return UNROLLS[type(cell)](cell, x_TBG, state)
    return WITH_DOCUMENTS[type(cell)](cell, x_TBG, state, begins_TB.unsqueeze(2))
