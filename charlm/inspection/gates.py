"""The gates that a step of a cell opens and closes, for the cells that have them.

    B lanes · H hidden size of a layer · G gates × H

A cell keeps its gates to itself; here they are computed again, by its equations in
``charlm.cells``. A cell that isn't in the table shows its state alone.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from charlm.cells import GRU, LSTM, Cell, State

Gates = dict[str, Tensor]


def _gru(cell: GRU, preactivation_BG: Tensor, state: State) -> Gates:
    (h,), H = state, cell.hidden_size
    recurrent = h @ cell.weight_hh[: 2 * H].t()
    r, z = torch.sigmoid(preactivation_BG[:, : 2 * H] + recurrent).chunk(2, dim=1)
    return {"reset_gate": r, "update_gate": z}


def _lstm(cell: LSTM, preactivation_BG: Tensor, state: State) -> Gates:
    a = preactivation_BG + state[0] @ cell.weight_hh.t()
    i, f, _, o = a.chunk(4, dim=1)
    gates = {"input_gate": i, "forget_gate": f, "output_gate": o}
    return {name: torch.sigmoid(gate) for name, gate in gates.items()}


# By exact class: a cell with another step has other gates.
GATES: dict[type[Cell], Callable[[Any, Tensor, State], Gates]] = {GRU: _gru, LSTM: _lstm}


def gates_of(cell: Cell, preactivation_BG: Tensor, state: State) -> Gates:
    """The values from 0 to 1 of a cell's gates in one step, by name, [B, H] each.

    Args:
        preactivation_BG: W_ih x + b of the step.
        state: before the step.
    """
    gates = GATES.get(type(cell))
    return {} if gates is None else gates(cell, preactivation_BG, state)
