"""Long short-term memory."""

from typing import final

import torch
from torch import Tensor

from charlm.cells.cell import Cell, State


@final
class LSTM(Cell):
    """Long short-term memory (Hochreiter & Schmidhuber 1997, with the forget gate of Gers 2000).

    i = σ(W_ii x + b_i + W_hi h)
    f = σ(W_if x + b_f + W_hf h)
    g = tanh(W_ig x + b_g + W_hg h)
    o = σ(W_io x + b_o + W_ho h)
    c' = f * c + i * g
    h' = o * tanh(c')

    The gates are laid out i, f, g, o.

    Args:
        input_size: I.
        hidden_size: H.
        forget_bias: what b_f starts from, on top of what ``initialise`` draws: 0 in the book, 1
            keeps the memory open at first (Jozefowicz et al. 2015).
    """

    num_gates = 4
    state_names = ("hidden", "memory")

    def __init__(self, input_size: int, hidden_size: int, forget_bias: float = 0.0) -> None:
        super().__init__(input_size, hidden_size)
        self.forget_bias = forget_bias

    @torch.no_grad()
    def initialise(self, initialisation: str) -> None:
        super().initialise(initialisation)
        self.bias[self.hidden_size : 2 * self.hidden_size] += self.forget_bias

    def step(self, preactivation_BG: Tensor, state: State) -> State:
        h, c = state
        i, f, g, o = torch.addmm(preactivation_BG, h, self.weight_hh.t()).chunk(4, dim=1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(c), c
