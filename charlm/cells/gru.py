"""The gated recurrent unit."""

from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from charlm.cells.cell import Cell, State


@final
class GRU(Cell):
    """The gated recurrent unit, in its two forms, which are different functions.

    r = σ(W_ir x + b_r + W_hr h)
    z = σ(W_iz x + b_z + W_hz h)
    reset_after=True (cuDNN, torch.nn, Keras):   n = tanh(W_in x + b_n + r * (W_hn h + b_hn))
    reset_after=False (the book; Cho et al. 2014): n = tanh(W_in x + b_n + W_hn (r * h))
    h' = (1 - z) * n + z * h

    The gates are laid out r, z, n. ``bias_hn`` [H] exists with ``reset_after=True`` only.

    Args:
        input_size: I.
        hidden_size: H.
        reset_after: whether r multiplies after the product with W_hn, or before.
    """

    num_gates = 3

    def __init__(self, input_size: int, hidden_size: int, reset_after: bool = True) -> None:
        super().__init__(input_size, hidden_size)
        self.reset_after = reset_after
        self.bias_hn = nn.Parameter(torch.empty(hidden_size)) if reset_after else None

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, reset_after={self.reset_after}"

    def step(self, preactivation_BG: Tensor, state: State) -> State:
        (h,) = state
        H = self.hidden_size
        x_rz, x_n = preactivation_BG.split([2 * H, H], dim=1)
        weight_rz, weight_n = self.weight_hh.split([2 * H, H])
        r, z = torch.sigmoid(torch.addmm(x_rz, h, weight_rz.t())).chunk(2, dim=1)
        if self.reset_after:
            n = torch.tanh(x_n + r * F.linear(h, weight_n, self.bias_hn))
        else:
            n = torch.tanh(torch.addmm(x_n, r * h, weight_n.t()))
        return ((1 - z) * n + z * h,)
