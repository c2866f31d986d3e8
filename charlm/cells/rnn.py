"""The simple recurrent network."""

from typing import final

import torch
from torch import Tensor

from charlm.cells.cell import Cell, State
from charlm.errors import UserError


@final
class RNN(Cell):
    """The simple recurrent network (Elman 1990; d2l.ai, "RNN from scratch").

    h' = φ(W_ih x + b + W_hh h), φ = tanh or relu

    Args:
        input_size: I.
        hidden_size: H.
        nonlinearity: φ, ``tanh`` or ``relu``.
    """

    num_gates = 1

    def __init__(self, input_size: int, hidden_size: int, nonlinearity: str = "tanh") -> None:
        super().__init__(input_size, hidden_size)
        if nonlinearity not in ("tanh", "relu"):
            raise UserError(f"Unknown nonlinearity {nonlinearity!r}: choose tanh or relu.")
        self.nonlinearity = nonlinearity

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, nonlinearity={self.nonlinearity}"

    def step(self, preactivation_BG: Tensor, state: State) -> State:
        (h,) = state
        a = torch.addmm(preactivation_BG, h, self.weight_hh.t())
        return (torch.tanh(a) if self.nonlinearity == "tanh" else torch.relu(a),)
