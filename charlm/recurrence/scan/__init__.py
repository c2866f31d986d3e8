"""Cells that are linear in their state, all time steps at once but for h_t = a_t h_(t-1) + b_t.

T time steps · B lanes · H hidden size · G gates × H
"""

from collections.abc import Callable
from typing import Any

from torch import Tensor

from charlm.cells import RGLRU, Cell, MinGRU, MinLSTM, State
from charlm.recurrence.precision import mixed
from charlm.recurrence.products import project
from charlm.recurrence.scan import linear, min_gru, rg_lru

# Exactly these classes: (the cell, its ``project``ed inputs x [T, B, G·H], the state before, where
# documents begin) -> the outputs [T, B, H] and the state after, all in the type of x.
UNROLLS: dict[type[Cell], Callable[[Any, Tensor, State, Tensor | None], tuple[Tensor, State]]] = {
    MinGRU: min_gru.unroll,
    MinLSTM: linear.unroll,
    RGLRU: rg_lru.unroll,
}


def serves(cell: Cell) -> bool:
    """Whether the cell is known to be linear in its state."""
    return type(cell) in UNROLLS


def unroll(
    cell: Cell, inputs: Tensor, state: State, begins_TB: Tensor | None = None
) -> tuple[Tensor, State]:
    """What ``eager`` gives, for a cell that this backend serves; it can be differentiated once.

    Args and returns: see ``charlm.recurrence.eager``.
    """
    x_TBG, state = mixed(cell, project(cell, inputs), state)
    return UNROLLS[type(cell)](cell, x_TBG, state, begins_TB)
